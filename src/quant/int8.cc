#include "quant/int8.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/float16.h"

namespace mdsa::quant {
namespace {

// Largest magnitude of the row in fp16, as bits, which sort like the numbers with NaN above all.
std::uint16_t AbsMaxBits(std::span<const float> row) {
  std::uint16_t largest = 0;
  for (float value : row) {
    largest = std::max(largest, static_cast<std::uint16_t>(ToFloat16(value).bits & 0x7fffu));
  }
  return largest;
}

}  // namespace

float Int8EncodeRowReference(std::span<const float> row, std::span<std::int8_t> codes) {
  MDSA_DCHECK(codes.size() == row.size());
  const std::uint16_t bits = AbsMaxBits(row);
  const float scale =
      bits > 0x7c00u ? std::numeric_limits<float>::quiet_NaN() : ToFloat(Float16{bits});
  const float inverse = 1.0f / scale * 127.0f;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const float scaled = std::nearbyint(ToFloat(ToFloat16(row[i])) * inverse);
    codes[i] = std::isnan(scaled) ? 0 : static_cast<std::int8_t>(scaled);
  }
  return scale;
}

void Int8DecodeRowReference(std::span<const std::int8_t> codes, float scale, std::span<float> out) {
  MDSA_DCHECK(codes.size() == out.size());
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const float product = static_cast<float>(codes[i]) * scale;
    out[i] = product * kInt8Inverse;
  }
}

}  // namespace mdsa::quant
