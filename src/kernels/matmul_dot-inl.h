// Products of a few activation rows: every output is a dot product along a stored weight row, so
// weights are streamed once in their stored order and nothing is packed.
#pragma once

#include "kernels/matmul_decode-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

// Weight rows handled together, and so the row stride of the sums.
constexpr int kDotTileN = 8;
// Columns decoded at a time for formats without a decoder of their own: kDotTileN rows of them stay
// in the second-level cache. The padding keeps rows from falling into the same cache sets.
constexpr std::int64_t kDotDepth = 2048;
constexpr std::int64_t kDotStride = kDotDepth + 16;
// Activation rows whose sums are kept at a time.
constexpr std::int64_t kMaxDotRows = 16;

// Weight rows lie one behind the other, so what comes this far behind is needed soon, and rows of a
// few hundred bytes are too short for the hardware to see where the stream goes.
constexpr std::int64_t kDotPrefetchBytes = 6144;

// sums[i * kDotTileN + j] += x row i . weight row j, over k columns.
template <typename Decoder, int kM, int kN>
MDSA_INLINE void DotTile(const float* x, std::int64_t x_stride, const std::byte* w,
                         std::int64_t w_stride, std::int64_t k, float* sums) {
  VF acc[kM][kN];
  for (auto& row : acc) {
    for (VF& v : row) v = Zero();
  }
  const auto step = [&](const VF* xv, auto load) __attribute__((always_inline)) {
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) {
      const VF wv = load(j);
#pragma GCC unroll 4
      for (int i = 0; i < kM; ++i) acc[i][j] = MulAdd(xv[i], wv, acc[i][j]);
    }
  };
  std::int64_t at = 0;
  for (; at + kLanes <= k; at += kLanes) {
    VF xv[kM];
#pragma GCC unroll 4
    for (int i = 0; i < kM; ++i) xv[i] = Load(x + i * x_stride + at);
    step(xv, [&](int j) __attribute__((always_inline)) {
      const std::byte* p = w + j * w_stride + at * Decoder::kBytes;
      __builtin_prefetch(p + kDotPrefetchBytes);
      return Decoder::Load(p);
    });
  }
  if (at < k) {
    VF xv[kM];
    for (int i = 0; i < kM; ++i) xv[i] = LoadN(x + i * x_stride + at, k - at);
    step(xv, [&](int j) __attribute__((always_inline)) {
      return LoadTail<Decoder>(w + j * w_stride + at * Decoder::kBytes, k - at);
    });
  }
  for (int i = 0; i < kM; ++i) {
    float tile[kN];
    ReduceAddEach<kN>(acc[i], tile);
    for (int j = 0; j < kN; ++j) sums[i * kDotTileN + j] += tile[j];
  }
}

// m activation rows in tiles of nearly equal height, m <= kM or kN == kDotTileN / 2 or 1.
template <typename Decoder, int kM, int kN>
void DotRows(const float* x, std::int64_t x_stride, std::int64_t m, const std::byte* w,
             std::int64_t w_stride, std::int64_t k, float* sums) {
  if (m == kM) {
    DotTile<Decoder, kM, kN>(x, x_stride, w, w_stride, k, sums);
  } else if (m > kM) {
    const std::int64_t half = m > 2 * kM ? kM : (m + 1) / 2;
    DotRows<Decoder, kM, kN>(x, x_stride, half, w, w_stride, k, sums);
    DotRows<Decoder, kM, kN>(x + half * x_stride, x_stride, m - half, w, w_stride, k,
                             sums + half * kDotTileN);
  } else if constexpr (kM > 1) {
    DotRows<Decoder, kM - 1, kN>(x, x_stride, m, w, w_stride, k, sums);
  }
}

// n <= kDotTileN weight rows. Few activation rows leave accumulators for all eight, more of them
// for four.
template <typename Decoder>
void DotBlock(const float* x, std::int64_t x_stride, std::int64_t m, const std::byte* w,
              std::int64_t w_stride, std::int64_t n, std::int64_t k, float* sums) {
  if (n == kDotTileN && m <= kDotMaxWideM) {
    DotRows<Decoder, kDotMaxWideM, kDotTileN>(x, x_stride, m, w, w_stride, k, sums);
    return;
  }
  std::int64_t j = 0;
  for (; j + 4 <= n; j += 4) {
    DotRows<Decoder, kDotMaxM, 4>(x, x_stride, m, w + j * w_stride, w_stride, k, sums + j);
  }
  for (; j < n; ++j) {
    DotRows<Decoder, kDotMaxM, 1>(x, x_stride, m, w + j * w_stride, w_stride, k, sums + j);
  }
}

// Formats that a vector of values is loaded of at once.
constexpr bool HasVectorDecoder(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
    case WeightFormat::kF16:
    case WeightFormat::kBF16:
    case WeightFormat::kInt8:
      return true;
    case WeightFormat::kNf4:
    case WeightFormat::kBlocks:
      return false;
  }
  return false;
}

// sums += x . weight rows [row, row + n), as stored; formats with a vector decoder.
inline void DotStored(const WeightView& weight, const float* x, std::int64_t x_stride,
                      std::int64_t m, std::int64_t row, std::int64_t n, float* sums) {
  const auto run = [&]<typename Decoder>(Decoder) {
    const std::int64_t stride = weight.cols * Decoder::kBytes;
    DotBlock<Decoder>(x, x_stride, m, weight.data + row * stride, stride, n, weight.cols, sums);
  };
  switch (weight.format) {
    case WeightFormat::kF32:
      return run(F32Decoder{});
    case WeightFormat::kF16:
      return run(F16Decoder{});
    case WeightFormat::kBF16:
      return run(Bf16Decoder{});
    case WeightFormat::kInt8:
      return run(Int8Decoder{});
    case WeightFormat::kNf4:
    case WeightFormat::kBlocks:
      return;
  }
}

// The same for any format, by way of `buffer` [kDotTileN][kDotStride].
inline void DotDecoded(const WeightView& weight, const float* x, std::int64_t x_stride,
                       std::int64_t m, std::int64_t row, std::int64_t n, float* buffer,
                       float* sums) {
  for (std::int64_t k0 = 0; k0 < weight.cols; k0 += kDotDepth) {
    const std::int64_t k = weight.cols - k0 < kDotDepth ? weight.cols - k0 : kDotDepth;
    for (std::int64_t j = 0; j < n; ++j) {
      Decode(weight, (row + j) * weight.cols + k0, k, buffer + j * kDotStride);
    }
    DotBlock<F32Decoder>(x + k0, x_stride, m, reinterpret_cast<const std::byte*>(buffer),
                         kDotStride * 4, n, k, sums);
  }
}

inline float RowScale(const WeightView& weight, std::int64_t row) {
  return weight.format == WeightFormat::kInt8 ? weight.row_scale[row] * quant::kInt8Inverse : 1.0f;
}

// The finished sums of rows [row, row + n) to the output.
inline void WriteSums(const MatMulTask& task, const float* sums, std::int64_t m, std::int64_t row,
                      std::int64_t n, bool scaled, float* out) {
  for (std::int64_t j = 0; j < n; ++j) {
    const float scale = scaled ? RowScale(task.weight, row + j) : 1.0f;
    const float bias = task.bias != nullptr ? task.bias[row + j] : 0.0f;
    for (std::int64_t i = 0; i < m; ++i) {
      out[i * task.out_stride + row + j] = sums[i * kDotTileN + j] * scale + bias;
    }
  }
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
