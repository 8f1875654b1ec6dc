// Products of a few activation rows in pairs of bf16: stored bf16 weights, and NF4 looked up in
// registers.
#pragma once

#include "kernels/matmul_bf16-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

// As Bf16Decoder's, but both operands are pairs.
template <int kM, int kN>
MDSA_INLINE void DotTileBf16(const std::uint16_t* x, std::int64_t x_stride, const std::byte* w,
                             std::int64_t w_stride, std::int64_t k, float* sums) {
  VF acc[kM][kN];
  for (auto& row : acc) {
    for (VF& v : row) v = Zero();
  }
  for (std::int64_t at = 0; at < k; at += kBf16Lanes) {
    const std::int64_t left = k - at;
    const auto mask =
        static_cast<__mmask32>(left >= kBf16Lanes ? ~0u : (std::uint64_t{1} << left) - 1);
    __m512i xv[kM];
#pragma GCC unroll 8
    for (int i = 0; i < kM; ++i) xv[i] = LoadInts(x + i * x_stride + at);
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) {
      const std::byte* p = w + j * w_stride + 2 * at;
      __builtin_prefetch(p + kDotPrefetchBytes);
      const __m512i wv = _mm512_maskz_loadu_epi16(mask, p);
#pragma GCC unroll 8
      for (int i = 0; i < kM; ++i) {
        acc[i][j] = _mm512_dpbf16_ps(acc[i][j], AsBf16(xv[i]), AsBf16(wv));
      }
    }
  }
  for (int i = 0; i < kM; ++i) ReduceAddEach<kN>(acc[i], sums + i * kDotTileN);
}

// NF4 rows of whole blocks against split activations. scales [kN][blocks].
template <int kM, int kN>
MDSA_INLINE void DotTileNf4(const std::uint16_t* x, std::int64_t x_stride, const std::uint8_t* w,
                            std::int64_t blocks, const float* scales, float* sums) {
  // Sixteen values twice: the look-up reads five bits of each index, so the low nibble of a byte
  // needs no masking.
  const __m512i narrow = ToBf16(Load(&quant::kNf4Table), Load(&quant::kNf4Table));
  VF acc[kM][kN];
  for (auto& row : acc) {
    for (VF& v : row) v = Zero();
  }
  for (std::int64_t b = 0; b < blocks; ++b) {
    __m512i even[kM];
    __m512i odd[kM];
#pragma GCC unroll 8
    for (int i = 0; i < kM; ++i) {
      even[i] = LoadInts(x + i * x_stride + 64 * b);
      odd[i] = LoadInts(x + i * x_stride + 64 * b + kBf16Lanes);
    }
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) {
      const std::uint8_t* p = w + 32 * (j * blocks + b);
      __builtin_prefetch(p + kDotPrefetchBytes);
      const __m512i bytes =
          _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
      const __m512i high = _mm512_permutexvar_epi16(_mm512_srli_epi16(bytes, 4), narrow);
      const __m512i low = _mm512_permutexvar_epi16(bytes, narrow);
      const VF scale = Set1(scales[j * blocks + b]);
#pragma GCC unroll 8
      for (int i = 0; i < kM; ++i) {
        VF sum = _mm512_dpbf16_ps(Zero(), AsBf16(even[i]), AsBf16(high));
        sum = _mm512_dpbf16_ps(sum, AsBf16(odd[i]), AsBf16(low));
        acc[i][j] = MulAdd(sum, scale, acc[i][j]);
      }
    }
  }
  for (int i = 0; i < kM; ++i) ReduceAddEach<kN>(acc[i], sums + i * kDotTileN);
}

// The scales of `count` blocks; `buffer` holds as many.
inline const float* Nf4Scales(const WeightView& weight, std::int64_t first, std::int64_t count,
                              float* buffer) {
  if (weight.absmax != nullptr) return weight.absmax + first;
  const float* map = reinterpret_cast<const float*>(&quant::kDynamicMap);
  for (std::int64_t i = 0; i < count;) {
    const std::int64_t block = first + i;
    const std::int64_t nested_end =
        (block / quant::kNf4NestedBlockSize + 1) * quant::kNf4NestedBlockSize;
    const std::int64_t run = nested_end - first < count ? nested_end - first : count;
    const float scale = weight.nested_absmax[block / quant::kNf4NestedBlockSize];
    for (; i < run; ++i) {
      buffer[i] = map[weight.absmax_codes[first + i]] * scale + weight.absmax_offset;
    }
  }
  return buffer;
}

// Calls tile<M, N>(first activation row, first weight row) until all m x n are covered.
template <int kMaxM, int kN, typename Tile>
MDSA_INLINE void ForEachTile(std::int64_t m, std::int64_t j, const Tile& tile) {
  std::int64_t i = 0;
  for (; i + kMaxM <= m; i += kMaxM) tile.template operator()<kMaxM, kN>(i, j);
  const std::int64_t left = m - i;
  if constexpr (kMaxM > 3) {
    if (left == 3) tile.template operator()<3, kN>(i, j);
  }
  if constexpr (kMaxM > 2) {
    if (left == 2) tile.template operator()<2, kN>(i, j);
  }
  if (left == 1) tile.template operator()<1, kN>(i, j);
}
template <typename Tile>
MDSA_INLINE void ForEachTileOfBlock(std::int64_t m, std::int64_t n, const Tile& tile) {
  std::int64_t j = 0;
  for (; j + 4 <= n; j += 4) ForEachTile<4, 4>(m, j, tile);
  for (; j < n; ++j) ForEachTile<4, 1>(m, j, tile);
}

// Runs `block(row, n, m, first activation row, sums)` over groups of weight and activation rows and
// writes the finished sums.
template <typename Block>
void MultiplyDotBlocks(const ProductArgs& args, bool scaled, std::int64_t row_begin,
                       std::int64_t row_end, std::int64_t begin, std::int64_t end,
                       const Block& block) {
  for (std::int64_t row = row_begin; row < row_end; row += kDotTileN) {
    const std::int64_t n = row_end - row < kDotTileN ? row_end - row : kDotTileN;
    for (std::int64_t first = begin; first < end; first += kMaxDotRows) {
      const std::int64_t m = end - first < kMaxDotRows ? end - first : kMaxDotRows;
      float sums[kMaxDotRows * kDotTileN];
      block(row, n, m, first, sums);
      WriteSums(*args.task, sums, m, row, n, scaled,
                args.task->out + first * args.task->out_stride);
    }
  }
}

inline void MultiplyBf16(const ProductArgs& args, std::int64_t row_begin, std::int64_t row_end,
                         std::int64_t begin, std::int64_t end) {
  const WeightView& weight = args.task->weight;
  const std::int64_t x_stride = RoundUpTo(weight.cols, kBf16Lanes);
  const auto* x = reinterpret_cast<const std::uint16_t*>(args.prepared);
  MultiplyDotBlocks(
      args, false, row_begin, row_end, begin, end,
      [&](std::int64_t row, std::int64_t n, std::int64_t m, std::int64_t first, float* sums) {
        ForEachTileOfBlock(m, n, [&]<int kM, int kN>(std::int64_t i, std::int64_t j) {
          DotTileBf16<kM, kN>(x + (first + i) * x_stride, x_stride,
                              weight.data + 2 * (row + j) * weight.cols, 2 * weight.cols,
                              weight.cols, sums + i * kDotTileN + j);
        });
      });
}

inline void MultiplyNf4(const ProductArgs& args, std::int64_t row_begin, std::int64_t row_end,
                        std::int64_t begin, std::int64_t end) {
  const WeightView& weight = args.task->weight;
  const std::int64_t blocks = weight.cols / quant::kNf4BlockSize;
  const auto* x = reinterpret_cast<const std::uint16_t*>(args.prepared);
  const auto* packed = reinterpret_cast<const std::uint8_t*>(weight.data);
  auto* buffer = reinterpret_cast<float*>(args.scratch);
  MultiplyDotBlocks(
      args, false, row_begin, row_end, begin, end,
      [&](std::int64_t row, std::int64_t n, std::int64_t m, std::int64_t first, float* sums) {
        const float* scales = Nf4Scales(weight, row * blocks, n * blocks, buffer);
        ForEachTileOfBlock(m, n, [&]<int kM, int kN>(std::int64_t i, std::int64_t j) {
          DotTileNf4<kM, kN>(x + (first + i) * weight.cols, weight.cols,
                             packed + 32 * (row + j) * blocks, blocks, scales + j * blocks,
                             sums + i * kDotTileN + j);
        });
      });
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
