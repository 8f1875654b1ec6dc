// The table of one target.
#pragma once

#include "kernels/matmul_fused-inl.h"
#include "kernels/matmul_packed-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

inline void MultiplyDots(const ProductArgs& args, std::int64_t row_begin, std::int64_t row_end,
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

inline ActivationLayout ChooseLayout(const WeightView& weight, std::int64_t m) {
  const bool pack = m >= (HasVectorDecoder(weight.format) ? kMinPackedRows : kMinPackedRowsDecoded);
  return pack ? ActivationLayout::kChunks : ActivationLayout::kRows;
}

inline int ChunkRows(ActivationLayout layout) {
  return layout == ActivationLayout::kChunks ? kMaxTileRows : 1;
}

inline void Arrange(ActivationLayout, const ActivationArgs& args, std::int64_t begin,
                    std::int64_t end, std::byte* arranged) {
  PackActivations(args, begin, end, reinterpret_cast<float*>(arranged));
}

inline void Multiply(ActivationLayout layout, const ProductArgs& args, std::int64_t row_begin,
                     std::int64_t row_end, std::int64_t begin, std::int64_t end) {
  if (layout == ActivationLayout::kChunks) {
    MultiplyPacked(args, row_begin, row_end, begin, end);
  } else {
    MultiplyDots(args, row_begin, row_end, begin, end);
  }
}

// Of a target with no more than the vectors.
[[maybe_unused]] constexpr MatMulKernels kVectorKernels = {
    .panel_rows = kPanelRows,
    .choose_layout = ChooseLayout,
    .chunk_rows = ChunkRows,
    .arrange = Arrange,
    .multiply = Multiply,
    .decode = Decode,
};

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
