// LLM.int8() weights against activations quantized to int8 in groups of 64 (vpdpbusd). AVX-512 with
// VNNI.
//
// The instruction multiplies unsigned by signed bytes: a weight code w is read as w + 128 (its top
// bit flipped), and 128 times the sum of the activations is taken off at the end.
#pragma once

#include "kernels/matmul_bf16_dot-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

constexpr std::int64_t kInt8Group = 64;

// One activation row: codes [groups][64], scales [groups], header, outlier columns and values [cols
// each]. `correction` is 128 * sum over groups of scale * sum of codes.
struct Int8Row {
  std::int8_t* codes;
  float* scales;
  float* correction;
  std::int32_t* outliers;  // how many
  std::int32_t* outlier_cols;
  float* outlier_values;
};

constexpr std::int64_t Int8RowBytes(std::int64_t cols) {
  const std::int64_t groups = RoundUpTo(cols, kInt8Group) / kInt8Group;
  return RoundUpTo(groups * (kInt8Group + 4) + 8 + 8 * cols, 64);
}

inline Int8Row Int8RowAt(std::byte* prepared, std::int64_t cols, std::int64_t i) {
  const std::int64_t groups = RoundUpTo(cols, kInt8Group) / kInt8Group;
  std::byte* p = prepared + i * Int8RowBytes(cols);
  Int8Row row;
  row.codes = reinterpret_cast<std::int8_t*>(p);
  row.scales = reinterpret_cast<float*>(p + groups * kInt8Group);
  row.correction = row.scales + groups;
  row.outliers = reinterpret_cast<std::int32_t*>(row.correction + 1);
  row.outlier_cols = row.outliers + 1;
  row.outlier_values = reinterpret_cast<float*>(row.outlier_cols + cols);
  return row;
}

// Quantizes n <= 64 values; appends the outliers (not below `limit`, NaN included) to the row.
// Returns the sum of the codes.
inline int QuantizeGroup(const float* x, std::int64_t first, std::int64_t n, float limit,
                         const Int8Row& row) {
  VF values[4];
  VF largest = Zero();
  for (int i = 0; i < 4; ++i) {
    const std::int64_t left = n - 16 * i;
    values[i] = left >= 16 ? Load(x + 16 * i) : left > 0 ? LoadN(x + 16 * i, left) : Zero();
    const __mmask16 outlier = _mm512_cmp_ps_mask(Abs(values[i]), Set1(limit), _CMP_NLT_UQ);
    if (outlier != 0) {
      for (int lane = 0; lane < 16; ++lane) {
        if ((outlier >> lane & 1) == 0) continue;
        const std::int32_t at = (*row.outliers)++;
        row.outlier_cols[at] = static_cast<std::int32_t>(first + 16 * i + lane);
        row.outlier_values[at] = x[16 * i + lane];
      }
      values[i] = _mm512_mask_mov_ps(values[i], outlier, Zero());
    }
    largest = Max(largest, Abs(values[i]));
  }
  constexpr float kTiny = 1e-30f;  // below it the reciprocal overflows and the products vanish
  const float magnitude = ReduceMax(largest);
  const float inverse = magnitude > kTiny ? 127.0f / magnitude : 0.0f;
  row.scales[first / kInt8Group] = magnitude > kTiny ? magnitude * (1.0f / 127.0f) : 0.0f;
  __m512i sum = _mm512_setzero_si512();
  for (int i = 0; i < 4; ++i) {
    const __m512i codes = _mm512_cvtps_epi32(Mul(values[i], Set1(inverse)));
    sum = _mm512_add_epi32(sum, codes);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(row.codes + first + 16 * i),
                     _mm512_cvtsepi32_epi8(codes));
  }
  return _mm512_reduce_add_epi32(sum);
}

inline void PrepareInt8(const ActivationArgs& args, std::int64_t begin, std::int64_t end,
                        std::byte* prepared) {
  const float limit = args.outlier_threshold > 0.0f ? args.outlier_threshold : __builtin_inff();
  for (std::int64_t i = begin; i < end; ++i) {
    const Int8Row row = Int8RowAt(prepared, args.cols, i);
    *row.outliers = 0;
    float correction = 0.0f;
    for (std::int64_t k = 0; k < args.cols; k += kInt8Group) {
      const std::int64_t n = args.cols - k < kInt8Group ? args.cols - k : kInt8Group;
      const int sum = QuantizeGroup(args.x + i * args.x_stride + k, k, n, limit, row);
      correction += row.scales[k / kInt8Group] * static_cast<float>(sum);
    }
    *row.correction = 128.0f * correction;
  }
}

template <int kM, int kN>
MDSA_INLINE void DotTileInt8(const Int8Row* rows, const std::byte* w, std::int64_t cols,
                             float* sums) {
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  VF acc[kM][kN];
  for (auto& row : acc) {
    for (VF& v : row) v = Zero();
  }
  for (std::int64_t k = 0; k < cols; k += kInt8Group) {
    const std::int64_t left = cols - k;
    const __mmask64 mask = left >= kInt8Group ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) {
      const std::byte* p = w + j * cols + k;
      __builtin_prefetch(p + kDotPrefetchBytes);
      const __m512i codes = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, p), flip);
#pragma GCC unroll 8
      for (int i = 0; i < kM; ++i) {
        const __m512i dot =
            _mm512_dpbusd_epi32(_mm512_setzero_si512(), codes, LoadInts(rows[i].codes + k));
        acc[i][j] =
            MulAdd(_mm512_cvtepi32_ps(dot), Set1(rows[i].scales[k / kInt8Group]), acc[i][j]);
      }
    }
  }
  for (int i = 0; i < kM; ++i) {
    float tile[kN];
    ReduceAddEach<kN>(acc[i], tile);
    for (int j = 0; j < kN; ++j) {
      float sum = tile[j] - *rows[i].correction;
      for (std::int32_t o = 0; o < *rows[i].outliers; ++o) {
        const auto code = static_cast<std::int8_t>(w[j * cols + rows[i].outlier_cols[o]]);
        sum += rows[i].outlier_values[o] * static_cast<float>(code);
      }
      sums[i * kDotTileN + j] = sum;
    }
  }
}

inline void MultiplyInt8(const ProductArgs& args, std::int64_t row_begin, std::int64_t row_end,
                         std::int64_t begin, std::int64_t end) {
  const WeightView& weight = args.task->weight;
  const std::int64_t cols = weight.cols;
  // Preparing wrote the rows; from here on they are only read.
  auto* prepared = const_cast<std::byte*>(args.prepared);
  for (std::int64_t i = begin; i < end; ++i) {
    // Outliers are walked one by one: with many of them plain fp32 is faster.
    if (*Int8RowAt(prepared, cols, i).outliers > cols / 8) {
      MultiplyFloat(args, row_begin, row_end, begin, end);
      return;
    }
  }
  MultiplyDotBlocks(
      args, true, row_begin, row_end, begin, end,
      [&](std::int64_t row, std::int64_t n, std::int64_t m, std::int64_t first, float* sums) {
        ForEachTileOfBlock(m, n, [&]<int kM, int kN>(std::int64_t i, std::int64_t j) {
          Int8Row rows[kM];
          for (int r = 0; r < kM; ++r) rows[r] = Int8RowAt(prepared, cols, first + i + r);
          DotTileInt8<kM, kN>(rows, weight.data + (row + j) * cols, cols, sums + i * kDotTileN + j);
        });
      });
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
