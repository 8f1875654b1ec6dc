// LLM.int8() weights against many activation rows in two bytes (vpdpbusd). AVX-512 with VNNI.
//
// In groups of 64 columns an activation is scale * (high + low / 256), with high = round(x / scale)
// and scale = the group's largest magnitude / 127: 16 bits where LLM.int8() keeps 8, so that large
// values need no path of their own. Both bytes run through the same accumulators, 256 apart.
//
// The instruction multiplies unsigned by signed bytes: a weight code w is read as w + 128 (its top
// bit flipped), and accumulators start at -128 times the sum of the activation's codes.
#pragma once

#include "kernels/matmul_packed-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

constexpr std::int64_t kInt8Group = 64;
constexpr std::int64_t kInt8GroupDwords = kInt8Group / 4;
constexpr int kInt8MaxRows = 6;  // 6 x 2 accumulators of integers and as many of floats

inline bool HasInt8Product(const WeightView& weight) {
  return weight.format == WeightFormat::kInt8 && weight.cols % kInt8Group == 0;
}

// Dwords of one activation row in one group: high and low codes, two corrections, one scale. A
// chunk of h rows holds, group after group, [16][h] dwords of high codes, as many of low ones, and
// [h] of each of the others.
constexpr std::int64_t kInt8RowDwords = 2 * kInt8GroupDwords + 3;

// Always inline: see codec_kernels.h.
[[gnu::always_inline]] constexpr std::int64_t Int8ActivationBytes(std::int64_t m,
                                                                  std::int64_t cols) {
  return m * (cols / kInt8Group) * kInt8RowDwords * 4;
}

// One group of one row; dwords are `height` apart.
inline void QuantizeGroup(const float* x, std::int64_t height, std::int32_t* out) {
  constexpr float kTiny = 1e-30f;  // below it the reciprocal overflows and the products vanish
  constexpr float kLarge = 3e38f;  // above it, and for NaN, the products are no numbers in fp32
  VF values[4];
  VF largest = Zero();
  __mmask16 invalid = 0;
  for (int i = 0; i < 4; ++i) {
    values[i] = Load(x + 16 * i);
    invalid |= _mm512_cmp_ps_mask(Abs(values[i]), Set1(kLarge), _CMP_NLE_UQ);
    largest = Max(largest, Abs(values[i]));
  }
  const float magnitude = ReduceMax(largest);
  const float inverse = invalid == 0 && magnitude > kTiny ? 127.0f / magnitude : 0.0f;
  const float unit = invalid == 0 ? magnitude / (127.0f * 256.0f) : __builtin_nanf("");
  __m512i high_sum = _mm512_setzero_si512();
  __m512i low_sum = _mm512_setzero_si512();
  for (int i = 0; i < 4; ++i) {
    const VF scaled = invalid == 0 ? Mul(values[i], Set1(inverse)) : Zero();
    const VF rounded = Round(scaled);
    const __m512i high = _mm512_cvtps_epi32(rounded);
    // Half a step would be 128 of the low byte, which ends at 127: off by a 256th of a step.
    const __m512i low = _mm512_min_epi32(
        _mm512_cvtps_epi32(Mul(Sub(scaled, rounded), Set1(256.0f))), _mm512_set1_epi32(127));
    high_sum = _mm512_add_epi32(high_sum, high);
    low_sum = _mm512_add_epi32(low_sum, low);
    std::int32_t packed[8];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(packed), _mm512_cvtepi32_epi8(high));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(packed + 4), _mm512_cvtepi32_epi8(low));
    for (int d = 0; d < 4; ++d) {
      out[(4 * i + d) * height] = packed[d];
      out[(kInt8GroupDwords + 4 * i + d) * height] = packed[4 + d];
    }
  }
  out[2 * kInt8GroupDwords * height] = -128 * _mm512_reduce_add_epi32(high_sum);
  out[(2 * kInt8GroupDwords + 1) * height] = -128 * _mm512_reduce_add_epi32(low_sum);
  __builtin_memcpy(out + (2 * kInt8GroupDwords + 2) * height, &unit, sizeof unit);
}

// Chunks [begin, end).
inline void QuantizeActivations(const ActivationArgs& args, std::int64_t begin, std::int64_t end,
                                std::byte* packed) {
  const std::int64_t chunks = ChunkCount(args.m, kInt8MaxRows);
  const std::int64_t groups = args.cols / kInt8Group;
  for (std::int64_t c = begin; c < end; ++c) {
    const std::int64_t first = ChunkBegin(args.m, chunks, c);
    const std::int64_t height = ChunkBegin(args.m, chunks, c + 1) - first;
    auto* out = reinterpret_cast<std::int32_t*>(packed + Int8ActivationBytes(first, args.cols));
    for (std::int64_t i = 0; i < height; ++i) {
      const float* x = args.x + (first + i) * args.x_stride;
      for (std::int64_t g = 0; g < groups; ++g) {
        QuantizeGroup(x + g * kInt8Group, height, out + g * kInt8RowDwords * height + i);
      }
    }
  }
}

// `scale` [kPanelRows] multiplies the sums.
template <int kRows>
void Int8Chunk(const std::int32_t* a, const float* panel, std::int64_t groups, const float* scale,
               const TileOutput& to) {
  VF sums[kRows][2];
  for (auto& row : sums) row[0] = row[1] = Zero();
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int32_t* corrections = a + 2 * kInt8GroupDwords * kRows;
    __m512i acc[kRows][2];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) acc[i][0] = acc[i][1] = _mm512_set1_epi32(corrections[i]);
    const auto run = [&](const std::int32_t* codes) __attribute__((always_inline)) {
#pragma GCC unroll 4
      for (std::int64_t d = 0; d < kInt8GroupDwords; ++d) {
        const __m512i w0 = _mm512_loadu_si512(panel + d * kPanelRows);
        const __m512i w1 = _mm512_loadu_si512(panel + d * kPanelRows + kLanes);
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i) {
          const __m512i x = _mm512_set1_epi32(codes[d * kRows + i]);
          acc[i][0] = _mm512_dpbusd_epi32(acc[i][0], w0, x);
          acc[i][1] = _mm512_dpbusd_epi32(acc[i][1], w1, x);
        }
      }
    };
    run(a);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m512i correction = _mm512_set1_epi32(corrections[kRows + i]);
      for (__m512i& v : acc[i]) v = _mm512_add_epi32(_mm512_slli_epi32(v, 8), correction);
    }
    run(a + kInt8GroupDwords * kRows);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      float unit;
      __builtin_memcpy(&unit, corrections + 2 * kRows + i, sizeof unit);
      for (int v = 0; v < 2; ++v) {
        sums[i][v] = MulAdd(_mm512_cvtepi32_ps(acc[i][v]), Set1(unit), sums[i][v]);
      }
    }
    a += kInt8RowDwords * kRows;
    panel += kInt8GroupDwords * kPanelRows;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    float* out = to.out + i * to.stride;
    FinishVector(to, Mul(sums[i][0], Load(scale)), out, 0);
    FinishVector(to, Mul(sums[i][1], Load(scale + kLanes)), out, kLanes);
  }
}

template <int kRows = kInt8MaxRows>
void Int8ChunkOfHeight(std::int64_t height, const std::int32_t* a, const float* panel,
                       std::int64_t groups, const float* scale, const TileOutput& to) {
  if (height == kRows) {
    Int8Chunk<kRows>(a, panel, groups, scale, to);
  } else if constexpr (kRows > 1) {
    Int8ChunkOfHeight<kRows - 1>(height, a, panel, groups, scale, to);
  }
}

// Chunks [begin, end) of activations packed as above.
inline void MultiplyInt8(const ProductArgs& args, std::int64_t row_begin, std::int64_t row_end,
                         std::int64_t begin, std::int64_t end) {
  const MatMulTask& task = *args.task;
  const WeightView& weight = task.weight;
  const std::int64_t m = args.activations.m;
  const std::int64_t chunks = ChunkCount(m, kInt8MaxRows);
  auto* panel = reinterpret_cast<float*>(args.scratch);
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  constexpr std::int64_t kDepth = kPanelDepth * 4;  // columns of a panel
  for (std::int64_t row = row_begin; row < row_end; row += kPanelRows) {
    const std::int64_t rows = row_end - row < kPanelRows ? row_end - row : kPanelRows;
    float scale[kPanelRows] = {};
    float bias[kPanelRows] = {};
    for (std::int64_t i = 0; i < rows; ++i) {
      scale[i] = RowScale(weight, row + i);
      if (task.bias != nullptr) bias[i] = task.bias[row + i];
    }
    TileOutput to{
        .stride = task.out_stride, .columns = rows, .bias = task.bias != nullptr ? bias : nullptr};
    std::int64_t k0 = 0;
    do {  // at least once: without columns the output is the bias
      const std::int64_t depth = weight.cols - k0 < kDepth ? weight.cols - k0 : kDepth;
      PackRows(weight.data + row * weight.cols + k0, weight.cols, rows, depth / 4, panel);
      for (std::int64_t i = 0; i < depth / 4 * kPanelRows; i += kLanes) {
        _mm512_storeu_si512(panel + i, _mm512_xor_si512(_mm512_loadu_si512(panel + i), flip));
      }
      to.first = k0 == 0;
      to.last = k0 + depth == weight.cols;
      for (std::int64_t c = begin; c < end; ++c) {
        const std::int64_t first = ChunkBegin(m, chunks, c);
        const std::int64_t height = ChunkBegin(m, chunks, c + 1) - first;
        to.out = task.out + first * task.out_stride + row;
        const auto* a = reinterpret_cast<const std::int32_t*>(
            args.arranged + Int8ActivationBytes(first, weight.cols) +
            Int8ActivationBytes(height, k0));
        Int8ChunkOfHeight(height, a, panel, depth / kInt8Group, scale, to);
      }
      k0 += depth;
    } while (k0 < weight.cols);
  }
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
