#include "quant/nf4.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"

namespace mdsa::quant {
namespace {

// The largest magnitude; the positive quiet NaN if there is any NaN. Magnitudes as integers sort
// like the numbers, with the infinity and then the NaNs above all.
float AbsMax(std::span<const float> values) {
  std::uint32_t largest = 0;
  for (float value : values) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(value) & 0x7fffffffu);
  }
  if (largest > 0x7f800000u) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>(largest);
}

// The comparison is negated so that NaN counts every bound.
std::uint8_t CodeOf(float scaled) {
  std::uint8_t code = 0;
  for (std::uint32_t bound : kNf4BoundBits) code += !(scaled <= std::bit_cast<float>(bound));
  return code;
}

template <typename Scale>
void PackBlock(std::span<const float> values, std::uint8_t* packed, Scale scale) {
  for (std::size_t i = 0; i < values.size(); i += 2) {
    const std::uint8_t high = CodeOf(scale(values[i]));
    const std::uint8_t low = i + 1 < values.size() ? CodeOf(scale(values[i + 1])) : kNf4ZeroCode;
    packed[i / 2] = static_cast<std::uint8_t>(high << 4 | low);
  }
}

}  // namespace

void Nf4EncodeReference(std::span<const float> values, std::span<std::uint8_t> packed,
                        std::span<float> absmax) {
  const auto n = static_cast<std::int64_t>(values.size());
  MDSA_DCHECK(static_cast<std::int64_t>(packed.size()) == Nf4PackedBytes(n));
  MDSA_DCHECK(static_cast<std::int64_t>(absmax.size()) == Nf4Blocks(n));
  const std::int64_t full_blocks = n / kNf4BlockSize;
  for (std::int64_t block = 0; block < full_blocks; ++block) {
    const auto part = values.subspan(block * kNf4BlockSize, kNf4BlockSize);
    absmax[block] = AbsMax(part);
    const float inverse = 1.0f / std::max(absmax[block], kNf4MinScale);
    PackBlock(part, packed.data() + block * (kNf4BlockSize / 2),
              [inverse](float x) { return x * inverse; });
  }
  if (n % kNf4BlockSize == 0) return;
  const auto rest = values.subspan(full_blocks * kNf4BlockSize);
  const float scale = std::max(AbsMax(rest), kNf4MinScale);
  absmax[full_blocks] = scale;
  PackBlock(rest, packed.data() + full_blocks * (kNf4BlockSize / 2),
            [scale](float x) { return x / scale; });
}

float Nf4BlockScale(const Nf4View& view, std::int64_t block) {
  if (!view.absmax.empty()) return view.absmax[block];
  const float nested = kDynamicMap[view.absmax_codes[block]];
  const float difference = nested * view.nested_absmax[block / kNf4NestedBlockSize];
  return difference + view.offset;
}

void Nf4DecodeReference(const Nf4View& view, std::int64_t begin, std::span<float> out) {
  MDSA_DCHECK(begin >= 0 && begin + static_cast<std::int64_t>(out.size()) <= view.count);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int64_t index = begin + static_cast<std::int64_t>(i);
    const std::uint8_t byte = view.packed[index / 2];
    const int code = index % 2 == 0 ? byte >> 4 : byte & 15;
    out[i] = kNf4Table[code] * Nf4BlockScale(view, index / kNf4BlockSize);
  }
}

}  // namespace mdsa::quant
