// Products of one activation row with packed 4-, 6- and 8-bit weights, which is how a decoder
// generates: values are decoded in registers and used there. Measured 1.8 to 3 times as fast as by
// way of a buffer in AVX-512, 1.5 to 2 times in AVX2. With two rows the buffer is as fast.
#pragma once

#include "kernels/matmul_dot-inl.h"
#include "quant/gguf_blocks.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

constexpr int kFusedTileN = 4;

// A format's Dot returns sum + the products of stored block `index`, counted through the matrix,
// with kElements activations.
struct Nf4Fused {
  static constexpr std::int64_t kElements = quant::kNf4BlockSize;
  static constexpr std::int64_t kBytes = kElements / 2;
  // x is in split order (SplitRow): a byte holds an even value high and the next, odd one low.
  MDSA_INLINE static VF Dot(const WeightView& weight, std::int64_t index, const float* x, VF sum) {
    const auto* p = reinterpret_cast<const std::uint8_t*>(weight.data) + index * kBytes;
    __builtin_prefetch(p + kDotPrefetchBytes);
    const TableNibbles table(reinterpret_cast<const float*>(&quant::kNf4Table));
    VF block = Zero();
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < kBytes; i += kLanes) {
      const VI bytes = LoadBytes(p + i);
      block = MulAdd(table.High(bytes), Load(x + 2 * i), block);
      block = MulAdd(table.Low(bytes), Load(x + 2 * i + kLanes), block);
    }
    return MulAdd(block, Set1(Nf4Scale(weight, index)), sum);
  }
};

template <typename Block>
MDSA_INLINE const std::uint8_t* BlockAt(const WeightView& weight, std::int64_t index) {
  const auto* p = reinterpret_cast<const std::uint8_t*>(weight.data) +
                  index * static_cast<std::int64_t>(sizeof(Block));
  for (std::size_t at = 0; at < sizeof(Block); at += 64) {
    __builtin_prefetch(p + at + kDotPrefetchBytes);
  }
  return p;
}

// 16 bytes, whose low halves are 16 values and whose high halves are the 16 after them.
MDSA_INLINE VF DotNibbles(const std::uint8_t* p, const LinearNibbles& values, const float* x,
                          VF sum) {
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += kLanes) {
    const VI bytes = LoadBytes(p + i);
    sum = MulAdd(values.Low(bytes), Load(x + i), sum);
    sum = MulAdd(values.High(bytes), Load(x + 16 + i), sum);
  }
  return sum;
}

struct Q4_0Fused {
  using Block = quant::BlockQ4_0;
  static constexpr std::int64_t kElements = Block::kElements;
  MDSA_INLINE static VF Dot(const WeightView& weight, std::int64_t index, const float* x, VF sum) {
    const std::uint8_t* p = BlockAt<Block>(weight, index);
    const float d = LoadHalf(p + offsetof(Block, d));
    return DotNibbles(p + offsetof(Block, qs), LinearNibbles(d, -8.0f * d), x, sum);
  }
};

struct Q4_1Fused {
  using Block = quant::BlockQ4_1;
  static constexpr std::int64_t kElements = Block::kElements;
  MDSA_INLINE static VF Dot(const WeightView& weight, std::int64_t index, const float* x, VF sum) {
    const std::uint8_t* p = BlockAt<Block>(weight, index);
    return DotNibbles(p + offsetof(Block, qs), LinearNibbles(p + offsetof(Block, d)), x, sum);
  }
};

struct Q8_0Fused {
  using Block = quant::BlockQ8_0;
  static constexpr std::int64_t kElements = Block::kElements;
  MDSA_INLINE static VF Dot(const WeightView& weight, std::int64_t index, const float* x, VF sum) {
    const std::uint8_t* p = BlockAt<Block>(weight, index);
    VF block = Zero();
#pragma GCC unroll 8
    for (int i = 0; i < kElements; i += kLanes) {
      block = MulAdd(LoadInt8(p + offsetof(Block, qs) + i), Load(x + i), block);
    }
    return MulAdd(block, Set1(LoadHalf(p + offsetof(Block, d))), sum);
  }
};

struct Q4KFused {
  using Block = quant::BlockQ4K;
  static constexpr std::int64_t kElements = Block::kElements;
  // The 6-bit scales of the eight sub-blocks, then their minimums. The first four of each have a
  // byte of their own; of the last four, four bits are in the last word and two on top of those.
  MDSA_INLINE static void LoadScales(const std::uint8_t* p, float* out) {
    std::uint32_t words[3];
    __builtin_memcpy(words, p, sizeof(words));
    const std::uint32_t bytes[4] = {
        words[0] & 0x3f3f3f3f, (words[2] & 0x0f0f0f0f) | (words[0] >> 2 & 0x30303030),
        words[1] & 0x3f3f3f3f, (words[2] >> 4 & 0x0f0f0f0f) | (words[1] >> 2 & 0x30303030)};
    for (int i = 0; i < 16; i += kLanes) {
      Store(out + i, ToFloats(LoadBytes(reinterpret_cast<const std::uint8_t*>(bytes) + i)));
    }
  }
  MDSA_INLINE static VF Dot(const WeightView& weight, std::int64_t index, const float* x, VF sum) {
    const std::uint8_t* p = BlockAt<Block>(weight, index);
    const float d = LoadHalf(p + offsetof(Block, d));
    const float dmin = LoadHalf(p + offsetof(Block, dmin));
    float scales[16];
    LoadScales(p + offsetof(Block, scales), scales);
    for (int j = 0; j < 8; j += 2) {
      const LinearNibbles even(d * scales[j], -(dmin * scales[8 + j]));
      const LinearNibbles odd(d * scales[j + 1], -(dmin * scales[9 + j]));
#pragma GCC unroll 8
      for (int i = 0; i < 32; i += kLanes) {
        const VI bytes = LoadBytes(p + offsetof(Block, qs) + 16 * j + i);
        sum = MulAdd(even.Low(bytes), Load(x + 32 * j + i), sum);
        sum = MulAdd(odd.High(bytes), Load(x + 32 * j + 32 + i), sum);
      }
    }
    return sum;
  }
};

struct Q6KFused {
  using Block = quant::BlockQ6K;
  static constexpr std::int64_t kElements = Block::kElements;
  MDSA_INLINE static VF Dot(const WeightView& weight, std::int64_t index, const float* x, VF sum) {
    const std::uint8_t* p = BlockAt<Block>(weight, index);
    const auto* scales = reinterpret_cast<const std::int8_t*>(p + offsetof(Block, scales));
    const VF d = Set1(LoadHalf(p + offsetof(Block, d)));
    VF block = Zero();
    // Values l + 32 g of each half of 128, by the 16 that share a scale: four groups g from the low
    // and high nibbles of two times 32 bytes, with their upper bits in one byte.
    for (int half = 0; half < 2; ++half) {
      const std::uint8_t* low = p + offsetof(Block, ql) + 64 * half;
      const std::uint8_t* high = p + offsetof(Block, qh) + 32 * half;
      for (int l = 0; l < 32; l += 16) {
        VF parts[4] = {Zero(), Zero(), Zero(), Zero()};
#pragma GCC unroll 4
        for (int i = l; i < l + 16; i += kLanes) {
          const VI first = LoadBytes(low + i);
          const VI second = LoadBytes(low + 32 + i);
          const VI upper = LoadBytes(high + i);
          const VI values[4] = {(first & 15) | ((upper << 4) & 48),
                                (second & 15) | ((upper << 2) & 48), (first >> 4) | (upper & 48),
                                (second >> 4) | ((upper >> 2) & 48)};
#pragma GCC unroll 4
          for (int g = 0; g < 4; ++g) {
            const VF value = ToFloats(values[g] - 32);
            parts[g] = MulAdd(value, Load(x + 128 * half + 32 * g + i), parts[g]);
          }
        }
#pragma GCC unroll 4
        for (int g = 0; g < 4; ++g) {
          const auto scale = static_cast<float>(scales[8 * half + 2 * g + l / 16]);
          block = MulAdd(parts[g], Set1(scale), block);
        }
      }
    }
    return MulAdd(block, d, sum);
  }
};

inline bool HasFusedDot(const WeightView& weight) {
  if (weight.format == WeightFormat::kNf4) {
    // Whole blocks in each row, and room for the activations in split order.
    return weight.cols % quant::kNf4BlockSize == 0 && weight.cols * 4 <= kProductScratchBytes;
  }
  if (weight.format != WeightFormat::kBlocks) return false;
  switch (weight.block_type) {
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ8_0:
    case DType::kQ4K:
    case DType::kQ6K:
      return true;
    default:
      return false;
  }
}

// Each 2 kLanes values as the even ones, then the odd ones: the order of NF4 bytes.
inline void SplitRow(const float* x, std::int64_t cols, float* out) {
  for (std::int64_t k = 0; k < cols; k += 2 * kLanes) {
    for (int i = 0; i < kLanes; ++i) {
      out[k + i] = x[k + 2 * i];
      out[k + kLanes + i] = x[k + 2 * i + 1];
    }
  }
}

template <typename Format, int kN>
MDSA_INLINE void FusedTile(const WeightView& weight, const float* x, std::int64_t row,
                           float* sums) {
  const std::int64_t blocks = weight.cols / Format::kElements;
  VF acc[kN];
  for (VF& v : acc) v = Zero();
  for (std::int64_t b = 0; b < blocks; ++b) {
#pragma GCC unroll 4
    for (int j = 0; j < kN; ++j) {
      acc[j] = Format::Dot(weight, (row + j) * blocks + b, x + b * Format::kElements, acc[j]);
    }
  }
  ReduceAddEach<kN>(acc, sums);
}

// sums[j] = x . weight row row + j, n of them.
template <typename Format>
void FusedRows(const WeightView& weight, const float* x, std::int64_t row, std::int64_t n,
               float* sums) {
  std::int64_t j = 0;
  for (; j + kFusedTileN <= n; j += kFusedTileN) {
    FusedTile<Format, kFusedTileN>(weight, x, row + j, sums + j);
  }
  for (; j < n; ++j) FusedTile<Format, 1>(weight, x, row + j, sums + j);
}

// What HasFusedDot; `x` in split order for NF4.
inline void DotFused(const WeightView& weight, const float* x, std::int64_t row, std::int64_t n,
                     float* sums) {
  if (weight.format == WeightFormat::kNf4) return FusedRows<Nf4Fused>(weight, x, row, n, sums);
  switch (weight.block_type) {
    case DType::kQ4_0:
      return FusedRows<Q4_0Fused>(weight, x, row, n, sums);
    case DType::kQ4_1:
      return FusedRows<Q4_1Fused>(weight, x, row, n, sums);
    case DType::kQ8_0:
      return FusedRows<Q8_0Fused>(weight, x, row, n, sums);
    case DType::kQ4K:
      return FusedRows<Q4KFused>(weight, x, row, n, sums);
    case DType::kQ6K:
      return FusedRows<Q6KFused>(weight, x, row, n, sums);
    default:
      return;
  }
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
