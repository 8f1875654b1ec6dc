// Vectorized encode and decode of the storage formats; every target gives the same bytes as the
// scalar references in src/quant. Functions are thread-safe, allocate nothing and cannot fail;
// outputs must not overlap inputs. Empty spans are allowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/float16.h"
#include "formats/dtype.h"

namespace mdsa::kernels {

// A span of source values of any float dtype, block types included, to fp32. `bytes` holds exactly
// out.size() values, a multiple of the block of `dtype`, at any alignment. dtype is_float.
void DecodeToFloat(DType dtype, const std::byte* bytes, std::span<float> out);
// fp32 to 16 bits, round to nearest even; `out` [values.size()].
void EncodeBFloat16(std::span<const float> values, BFloat16* out);
void EncodeFloat16(std::span<const float> values, Float16* out);

// NF4 (quant/nf4.h). `values` may be a part of a tensor if it starts on a block boundary; only the
// part that ends the tensor may hold a partial block. `packed` has Nf4PackedBytes(values.size())
// bytes and `absmax` Nf4Blocks(values.size()) scales.
void Nf4Encode(std::span<const float> values, std::span<std::uint8_t> packed,
               std::span<float> absmax);

// One row of an LLM.int8() weight (quant/int8.h); `codes` [row.size()]. Returns SCB, 0 for an empty
// row.
float Int8EncodeRow(std::span<const float> row, std::span<std::int8_t> codes);

}  // namespace mdsa::kernels
