// Stored weights to fp32, in vectors of one target.
#pragma once

#include "kernels/matmul_kernels.h"
#include "quant/int8.h"
#include "quant/nf4.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

// A decoder loads kLanes stored values as fp32. Int8 codes come without their row scale, which
// multiplies the finished sum.
struct F32Decoder {
  static constexpr std::int64_t kBytes = 4;
  MDSA_INLINE static VF Load(const std::byte* p) { return MDSA_TARGET_NAMESPACE::Load(p); }
};
struct F16Decoder {
  static constexpr std::int64_t kBytes = 2;
  MDSA_INLINE static VF Load(const std::byte* p) { return LoadF16(p); }
};
struct Bf16Decoder {
  static constexpr std::int64_t kBytes = 2;
  MDSA_INLINE static VF Load(const std::byte* p) { return LoadBf16(p); }
};
struct Int8Decoder {
  static constexpr std::int64_t kBytes = 1;
  MDSA_INLINE static VF Load(const std::byte* p) { return LoadInt8(p); }
};

// The first n < kLanes values, the rest zero; reads nothing behind them.
template <typename Decoder>
MDSA_INLINE VF LoadTail(const std::byte* p, std::int64_t n) {
  std::byte padded[kLanes * Decoder::kBytes] = {};
  __builtin_memcpy(padded, p, static_cast<std::size_t>(n * Decoder::kBytes));
  return Decoder::Load(padded);
}

template <typename Decoder>
void DecodePlain(const std::byte* p, std::int64_t count, VF scale, float* out) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Store(out + i, Mul(Decoder::Load(p + i * Decoder::kBytes), scale));
  }
  if (i < count) {
    StoreN(out + i, Mul(LoadTail<Decoder>(p + i * Decoder::kBytes, count - i), scale), count - i);
  }
}

inline float Nf4Scale(const WeightView& weight, std::int64_t block) {
  if (weight.absmax != nullptr) return weight.absmax[block];
  const float* map = reinterpret_cast<const float*>(&quant::kDynamicMap);
  const float scale =
      map[weight.absmax_codes[block]] * weight.nested_absmax[block / quant::kNf4NestedBlockSize];
  return scale + weight.absmax_offset;
}

inline void DecodeNf4(const WeightView& weight, std::int64_t begin, std::int64_t count,
                      float* out) {
  const auto* packed = reinterpret_cast<const std::uint8_t*>(weight.data);
  const float* table = reinterpret_cast<const float*>(&quant::kNf4Table);
  std::int64_t at = begin;
  const std::int64_t end = begin + count;
  while (at < end) {
    const std::int64_t block = at / quant::kNf4BlockSize;
    const std::int64_t block_end = (block + 1) * quant::kNf4BlockSize;
    const float scale = Nf4Scale(weight, block);
    if (at % quant::kNf4BlockSize == 0 && block_end <= end) {
      DecodeNf4Block(packed + at / 2, table, scale, out + (at - begin));
      at = block_end;
      continue;
    }
    for (; at < end && at < block_end; ++at) {
      const int byte = packed[at / 2];
      out[at - begin] = table[at % 2 == 0 ? byte >> 4 : byte & 15] * scale;
    }
  }
}

// Values [begin, begin + count) of the flattened weight; within one row for kInt8, whole blocks for
// kBlocks.
void Decode(const WeightView& weight, std::int64_t begin, std::int64_t count, float* out) {
  if (count == 0) return;  // an empty matrix may have no data
  switch (weight.format) {
    case WeightFormat::kF32:
      __builtin_memcpy(out, weight.data + 4 * begin, static_cast<std::size_t>(count) * 4);
      break;
    case WeightFormat::kF16:
      DecodePlain<F16Decoder>(weight.data + 2 * begin, count, Set1(1.0f), out);
      break;
    case WeightFormat::kBF16:
      DecodePlain<Bf16Decoder>(weight.data + 2 * begin, count, Set1(1.0f), out);
      break;
    case WeightFormat::kInt8:
      DecodePlain<Int8Decoder>(weight.data + begin, count,
                               Set1(weight.row_scale[begin / weight.cols] * quant::kInt8Inverse),
                               out);
      break;
    case WeightFormat::kNf4:
      DecodeNf4(weight, begin, count, out);
      break;
    case WeightFormat::kBlocks:
      DecodeBlocks(weight.block_type, weight.data, begin, count, out);
      break;
  }
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
