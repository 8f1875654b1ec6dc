// NF4 weights against a few fp32 activation rows, decoded in registers. AVX-512.
//
// 64 bytes are 128 codes, that is 16 dwords of eight codes each. A shift by 4 s brings code s of
// every dword to its low four bits, and a permutation of the table by those reads 16 weights. The
// activations are laid out once in the order of these picks, as [cols / 128][8][16], so that no
// weight has to be moved within its register.
#pragma once

#include "kernels/matmul_dot-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

constexpr std::int64_t kNf4Chunk = 128;  // columns of one register of codes
static_assert(kNf4Chunk <= kArrangedColumns);
// Scales of a tile's rows that fit into the scratch memory.
constexpr std::int64_t kNf4MaxCols =
    kProductScratchBytes / 4 / kDotTileN * quant::kNf4BlockSize - kNf4Chunk;

inline bool HasNf4Dot(const WeightView& weight) {
  return weight.format == WeightFormat::kNf4 && weight.cols % quant::kNf4BlockSize == 0 &&
         weight.cols <= kNf4MaxCols;
}

// Always inline: see codec_kernels.h.
[[gnu::always_inline]] constexpr std::int64_t PickedFloats(std::int64_t cols) {
  return (cols + kNf4Chunk - 1) / kNf4Chunk * kNf4Chunk;
}

// Activation rows [begin, end) in the order of the picks, PickedFloats(cols) each, zero padded.
inline void PickActivations(const ActivationArgs& args, std::int64_t begin, std::int64_t end,
                            float* out) {
  // Dword d holds the columns 8 d to 8 d + 7; the high four bits of a byte are the first of its
  // two.
  const __m512i dword = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i first = _mm512_slli_epi32(dword, 3);
  for (std::int64_t i = begin; i < end; ++i) {
    const float* x = args.x + i * args.x_stride;
    float* row = out + i * PickedFloats(args.cols);
    for (std::int64_t k = 0; k < args.cols; k += kNf4Chunk) {
      const float* from = x + k;
      float padded[kNf4Chunk];
      if (args.cols - k < kNf4Chunk) {
        for (std::int64_t c = 0; c < kNf4Chunk; ++c) padded[c] = k + c < args.cols ? from[c] : 0.0f;
        from = padded;
      }
      for (int s = 0; s < 8; ++s) {
        const __m512i column = _mm512_add_epi32(first, _mm512_set1_epi32(s ^ 1));
        _mm512_storeu_ps(row + k + 16 * s, _mm512_i32gather_ps(column, from, 4));
      }
    }
  }
}

// The scales of blocks [begin, begin + count); writes up to 15 floats more.
inline void Nf4Scales(const WeightView& weight, std::int64_t begin, std::int64_t count,
                      float* out) {
  const float* map = reinterpret_cast<const float*>(&quant::kDynamicMap);
  for (std::int64_t b = 0; b < count; b += 16) {
    const std::int64_t block = begin + b;
    const __mmask16 mask = FirstLanes(count - b < 16 ? count - b : 16);
    if (weight.absmax != nullptr) {
      _mm512_storeu_ps(out + b, _mm512_maskz_loadu_ps(mask, weight.absmax + block));
      continue;
    }
    const __m512i codes =
        _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, weight.absmax_codes + block));
    const __m512 scale = _mm512_i32gather_ps(codes, map, 4);
    // 16 blocks lie in one nested block or in two neighbours.
    const std::int64_t nested = block / quant::kNf4NestedBlockSize;
    const std::int64_t left = (nested + 1) * quant::kNf4NestedBlockSize - block;
    __m512 factor = _mm512_set1_ps(weight.nested_absmax[nested]);
    if (left < count - b && left < 16) {
      factor = _mm512_mask_mov_ps(_mm512_set1_ps(weight.nested_absmax[nested + 1]),
                                  FirstLanes(left), factor);
    }
    // As the scalar codec: a product and a sum, each rounded.
    const __m512 product = _mm512_mul_ps(scale, factor);
    _mm512_storeu_ps(out + b, _mm512_add_ps(product, _mm512_set1_ps(weight.absmax_offset)));
  }
}

// sums[i * kDotTileN + j] = x row i . weight row j. `x` as PickActivations, rows PickedFloats
// apart; `scales` of weight row j at j * scale_stride.
template <int kM, int kN>
MDSA_INLINE void DotTileNf4(const float* x, const std::byte* w, const float* scales,
                            std::int64_t scale_stride, std::int64_t cols, float* sums) {
  const VF table = Load(&quant::kNf4Table);
  VF acc[kM][kN];
  for (auto& row : acc) {
    for (VF& v : row) v = Zero();
  }
  for (std::int64_t k = 0; k < cols; k += kNf4Chunk) {
    // The last chunk of an odd number of blocks is half a register.
    const auto bytes_mask = static_cast<__mmask16>(cols - k < kNf4Chunk ? 0x00ff : 0xffff);
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) {
      const std::byte* p = w + (j * cols + k) / 2;
      __builtin_prefetch(p + kDotPrefetchBytes);
      __m512i codes = _mm512_maskz_loadu_epi32(bytes_mask, p);
      const float* scale = scales + j * scale_stride + k / quant::kNf4BlockSize;
      const VF scale_pair = _mm512_mask_mov_ps(Set1(scale[0]), 0xff00, Set1(scale[1]));
      VF part[kM];
#pragma GCC unroll 8
      for (int s = 0; s < 8; ++s) {
        // The permutation reads four bits of each index: no masking.
        const VF weight = _mm512_permutexvar_ps(codes, table);
        codes = _mm512_srli_epi32(codes, 4);
#pragma GCC unroll 4
        for (int i = 0; i < kM; ++i) {
          const VF xv = Load(x + i * PickedFloats(cols) + k + 16 * s);
          part[i] = s == 0 ? Mul(xv, weight) : MulAdd(xv, weight, part[i]);
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < kM; ++i) acc[i][j] = MulAdd(part[i], scale_pair, acc[i][j]);
    }
  }
  for (int i = 0; i < kM; ++i) {
    float tile[kN];
    ReduceAddEach<kN>(acc[i], tile);
    for (int j = 0; j < kN; ++j) sums[i * kDotTileN + j] = tile[j];
  }
}

template <int kN, int kM = 4>
void DotRowsNf4(const float* x, std::int64_t m, const std::byte* w, const float* scales,
                std::int64_t scale_stride, std::int64_t cols, float* sums) {
  for (; m >= kM; m -= kM) {
    DotTileNf4<kM, kN>(x, w, scales, scale_stride, cols, sums);
    x += kM * PickedFloats(cols);
    sums += kM * kDotTileN;
  }
  if constexpr (kM > 1) {
    if (m > 0) DotRowsNf4<kN, kM - 1>(x, m, w, scales, scale_stride, cols, sums);
  }
}

// out[:, row_begin..row_end) for activation rows [begin, end), which `arranged` holds as picks.
inline void MultiplyNf4(const ProductArgs& args, std::int64_t row_begin, std::int64_t row_end,
                        std::int64_t begin, std::int64_t end) {
  const WeightView& weight = args.task->weight;
  const std::int64_t cols = weight.cols;
  const std::int64_t blocks = cols / quant::kNf4BlockSize;
  const std::int64_t scale_stride = blocks + 16;
  const auto* picked = reinterpret_cast<const float*>(args.arranged);
  auto* scales = reinterpret_cast<float*>(args.scratch);
  for (std::int64_t row = row_begin; row < row_end; row += kDotTileN) {
    const std::int64_t n = row_end - row < kDotTileN ? row_end - row : kDotTileN;
    for (std::int64_t j = 0; j < n; ++j) {
      Nf4Scales(weight, (row + j) * blocks, blocks, scales + j * scale_stride);
    }
    for (std::int64_t first = begin; first < end; first += kMaxDotRows) {
      const std::int64_t m = end - first < kMaxDotRows ? end - first : kMaxDotRows;
      const float* x = picked + first * PickedFloats(cols);
      float sums[kMaxDotRows * kDotTileN] = {};
      std::int64_t j = 0;
      const auto weight_row = [&](std::int64_t at) { return weight.data + (row + at) * cols / 2; };
      for (; j + 4 <= n; j += 4) {
        DotRowsNf4<4>(x, m, weight_row(j), scales + j * scale_stride, scale_stride, cols, sums + j);
      }
      for (; j < n; ++j) {
        DotRowsNf4<1>(x, m, weight_row(j), scales + j * scale_stride, scale_stride, cols, sums + j);
      }
      WriteSums(*args.task, sums, m, row, n, false, args.task->out + first * args.task->out_stride);
    }
  }
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
