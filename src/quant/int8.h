// LLM.int8() weights as bitsandbytes stores them: int8 codes [rows, cols] with one fp32 scale per
// row (SCB).
//
// The weight is first rounded to fp16. SCB = max |w| of the row; code = round-half-even(w *
// fp32(fp32(1 / SCB) * 127)), two roundings before the product's own. A value is fp32(code * SCB) *
// (1 / 127). A zero row has SCB 0 and codes 0; a row with NaN has SCB NaN (the positive quiet one)
// and codes 0; a row with values from 65520 on has SCB infinity and codes 0.
//
// Source: bitsandbytes 0.50.2, CPU backend.
#pragma once

#include <cstdint>
#include <span>

namespace mdsa::quant {

inline constexpr float kInt8Inverse = 7.874015718698502e-3f;  // fp32(1 / 127)

// Scalar reference for one row. Returns SCB.
float Int8EncodeRowReference(std::span<const float> row, std::span<std::int8_t> codes);
void Int8DecodeRowReference(std::span<const std::int8_t> codes, float scale, std::span<float> out);

}  // namespace mdsa::quant
