// The table of one target.
#pragma once

#include "kernels/matmul_fused-inl.h"
#include "kernels/matmul_packed-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

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

void MultiplyDots(const ProductArgs& args, std::int64_t row_begin, std::int64_t row_end,
                  std::int64_t begin, std::int64_t end) {
  const WeightView& weight = args.task->weight;
  auto* buffer = reinterpret_cast<float*>(args.scratch);
  const bool stored = HasVectorDecoder(weight.format);
  const bool fused = end - begin == 1 && HasFusedDot(weight);
  const float* x = args.activations.x + begin * args.activations.x_stride;
  const std::int64_t x_stride = args.activations.x_stride;
  if (fused && weight.format == WeightFormat::kNf4) {
    SplitRow(x, weight.cols, buffer);
    x = buffer;
  }
  for (std::int64_t row = row_begin; row < row_end; row += kDotTileN) {
    const std::int64_t n = row_end - row < kDotTileN ? row_end - row : kDotTileN;
    for (std::int64_t first = begin; first < end; first += kMaxDotRows) {
      const std::int64_t m = end - first < kMaxDotRows ? end - first : kMaxDotRows;
      const float* rows = x + (first - begin) * x_stride;
      float sums[kMaxDotRows * kDotTileN];
      for (std::int64_t i = 0; i < m * kDotTileN; ++i) sums[i] = 0.0f;
      if (stored) {
        DotStored(weight, rows, x_stride, m, row, n, sums);
      } else if (fused) {
        DotFused(weight, rows, row, n, sums);
      } else {
        DotDecoded(weight, rows, x_stride, m, row, n, buffer, sums);
      }
      WriteSums(*args.task, sums, m, row, n, stored,
                args.task->out + first * args.task->out_stride);
    }
  }
}

// Fewer activation rows than this run as dot products: packing the weight would cost more than the
// better register tile gives back.
constexpr std::int64_t kMinPackedRows = 10;
constexpr std::int64_t kMinPackedRowsDecoded = 8;  // formats the dot product decodes to a buffer

bool PaysToPack(const WeightView& weight, std::int64_t m) {
  return m >= (HasVectorDecoder(weight.format) ? kMinPackedRows : kMinPackedRowsDecoded);
}

constexpr MatMulKernels kVectorKernels = {
    .max_chunk_rows = kMaxTileRows,
    .panel_rows = kPanelRows,
    .pays_to_pack = PaysToPack,
    .pack_activations = PackActivations,
    .multiply_dots = MultiplyDots,
    .multiply_packed = MultiplyPacked,
    .decode = Decode,
};

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
