// Products of many activation rows: weights are decoded and transposed panel by panel into cache,
// activations once per call, and a register tile runs over both.
//
// A panel is kPanelRows weight rows as [depth][kPanelRows] values.
#pragma once

#include "kernels/matmul_decode-inl.h"
#include "kernels/matmul_dot-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

constexpr int kPanelRows = 2 * kLanes;
static_assert(kPanelRows <= kMaxPanelRows);
constexpr std::int64_t kPackPrefetchBytes = 512;

// acc[kRows][2] += A . panel over `depth` values. A's value (k, i) is at a[k * kStepK + i * kStepM]
// and the panel's row k at b + k * b_stride.
template <int kRows, int kStepK, int kStepM>
MDSA_INLINE void PackedTile(const float* a, const float* b, std::int64_t b_stride,
                            std::int64_t depth, VF (&acc)[kRows][2]) {
  for (std::int64_t k = 0; k < depth; ++k) {
    const VF b0 = Load(b);
    const VF b1 = Load(b + kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const VF ai = Set1(a[i * kStepM]);
      acc[i][0] = MulAdd(ai, b0, acc[i][0]);
      acc[i][1] = MulAdd(ai, b1, acc[i][1]);
    }
    a += kStepK;
    b += b_stride;
  }
}

// Where a tile goes. Partial sums of a weight row deeper than one panel wait in the output itself.
struct TileOutput {
  float* out = nullptr;
  std::int64_t stride = 0;
  std::int64_t columns = 0;     // valid ones, <= kPanelRows
  const float* bias = nullptr;  // [kPanelRows], null for 0
  bool first = true;            // of the passes over the depth
  bool last = true;
};

MDSA_INLINE void FinishVector(const TileOutput& to, VF sum, float* out, int lane0) {
  const std::int64_t valid = to.columns - lane0;
  if (valid <= 0) return;
  if (valid >= kLanes) {
    if (!to.first) sum = Add(sum, Load(out + lane0));
    if (to.last && to.bias != nullptr) sum = Add(sum, Load(to.bias + lane0));
    Store(out + lane0, sum);
    return;
  }
  if (!to.first) sum = Add(sum, LoadN(out + lane0, valid));
  if (to.last && to.bias != nullptr) sum = Add(sum, Load(to.bias + lane0));
  StoreN(out + lane0, sum, valid);
}

template <int kRows>
void PackedChunk(const float* a, const float* panel, std::int64_t depth, const TileOutput& to) {
  VF acc[kRows][2];
  for (auto& row : acc) row[0] = row[1] = Zero();
  PackedTile<kRows, kRows, 1>(a, panel, kPanelRows, depth, acc);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    FinishVector(to, acc[i][0], to.out + i * to.stride, 0);
    FinishVector(to, acc[i][1], to.out + i * to.stride, kLanes);
  }
}

// Calls PackedChunk with the height as a constant.
template <int kRows = kMaxTileRows>
void PackedChunkOfHeight(std::int64_t height, const float* a, const float* panel,
                         std::int64_t depth, const TileOutput& to) {
  if (height == kRows) {
    PackedChunk<kRows>(a, panel, depth, to);
  } else if constexpr (kRows > 1) {
    PackedChunkOfHeight<kRows - 1>(height, a, panel, depth, to);
  }
}

// Transposes `rows` <= kPanelRows rows of `depth` values, `stride` bytes apart, into
// panel[0..depth)[kPanelRows]; absent rows become zero.
inline void PackRows(const std::byte* in, std::int64_t stride, std::int64_t rows,
                     std::int64_t depth, float* panel) {
  for (std::int64_t group = 0; group < kPanelRows; group += kLanes) {
    for (std::int64_t k = 0; k < depth; k += kLanes) {
      const std::byte* from = in + group * stride + 4 * k;
      float* to = panel + k * kPanelRows + group;
      if (group + kLanes <= rows && k + kLanes <= depth) {
        // As many streams as rows are too many for the hardware to follow.
        for (int i = 0; i < kLanes; ++i) {
          __builtin_prefetch(from + i * stride + kPackPrefetchBytes, 0, 2);
        }
        TransposeTile(from, stride, to, kPanelRows);
        continue;
      }
      float tile[kLanes * kLanes] = {};
      const std::int64_t valid_rows = rows - group < kLanes ? rows - group : kLanes;
      const std::int64_t valid = depth - k < kLanes ? depth - k : kLanes;
      for (std::int64_t i = 0; i < valid_rows; ++i) {
        __builtin_memcpy(tile + i * kLanes, from + i * stride, static_cast<std::size_t>(valid) * 4);
      }
      float transposed[kLanes * kLanes];
      TransposeTile(reinterpret_cast<const std::byte*>(tile), 4 * kLanes, transposed, kLanes);
      for (std::int64_t i = 0; i < valid; ++i) {
        Store(to + i * kPanelRows, Load(transposed + i * kLanes));
      }
    }
  }
}

// Weight rows [row, row + rows), columns [k0, k0 + k), as an fp32 panel. `piece` holds kPanelRows x
// kMaxBlockElements floats.
inline void PackWeight(const WeightView& weight, std::int64_t row, std::int64_t rows,
                       std::int64_t k0, std::int64_t k, float* piece, float* panel) {
  if (weight.format == WeightFormat::kF32) {
    PackRows(weight.data + 4 * (row * weight.cols + k0), 4 * weight.cols, rows, k, panel);
    return;
  }
  const std::int64_t width =
      weight.format == WeightFormat::kBlocks ? kMaxBlockElements : kPieceCols;
  for (std::int64_t at = 0; at < k; at += width) {
    const std::int64_t n = k - at < width ? k - at : width;
    for (std::int64_t i = 0; i < rows; ++i) {
      Decode(weight, (row + i) * weight.cols + k0 + at, n, piece + i * width);
    }
    PackRows(reinterpret_cast<const std::byte*>(piece), 4 * width, rows, n,
             panel + at * kPanelRows);
  }
}

// Chunks [begin, end) of `m` rows of x as [cols][height]; chunk c starts at ChunkBegin * cols.
inline void PackActivations(const ActivationArgs& args, std::int64_t begin, std::int64_t end,
                            float* packed) {
  const std::int64_t chunks = ChunkCount(args.m, kMaxTileRows);
  for (std::int64_t c = begin; c < end; ++c) {
    const std::int64_t first = ChunkBegin(args.m, chunks, c);
    const std::int64_t height = ChunkBegin(args.m, chunks, c + 1) - first;
    const float* x = args.x + first * args.x_stride;
    float* out = packed + first * args.cols;
    std::int64_t k = 0;
    for (; k + kLanes <= args.cols; k += kLanes) {
      float tile[kLanes * kLanes];
      float transposed[kLanes * kLanes];
      for (std::int64_t i = 0; i < height; ++i) {
        Store(tile + i * kLanes, Load(x + i * args.x_stride + k));
      }
      for (std::int64_t i = height; i < kLanes; ++i) Store(tile + i * kLanes, Zero());
      TransposeTile(reinterpret_cast<const std::byte*>(tile), 4 * kLanes, transposed, kLanes);
      for (std::int64_t i = 0; i < kLanes; ++i) {
        StoreN(out + (k + i) * height, Load(transposed + i * kLanes), height);
      }
    }
    for (; k < args.cols; ++k) {
      for (std::int64_t i = 0; i < height; ++i) out[k * height + i] = x[i * args.x_stride + k];
    }
  }
}

// Packs the weight panel by panel and runs all chunks over each.
inline void MultiplyPacked(const ProductArgs& args, std::int64_t row_begin, std::int64_t row_end,
                           std::int64_t begin, std::int64_t end) {
  const std::int64_t m = args.activations.m;
  const std::int64_t chunks = ChunkCount(m, kMaxTileRows);
  const MatMulTask& task = *args.task;
  const std::int64_t cols = task.weight.cols;
  const auto* packed = reinterpret_cast<const float*>(args.arranged);
  auto* panel = reinterpret_cast<float*>(args.scratch);
  float* piece = panel + kMaxPanelRows * kPanelDepth;
  for (std::int64_t row = row_begin; row < row_end; row += kPanelRows) {
    const std::int64_t rows = row_end - row < kPanelRows ? row_end - row : kPanelRows;
    float bias[kPanelRows] = {};
    for (std::int64_t i = 0; i < rows && task.bias != nullptr; ++i) bias[i] = task.bias[row + i];
    TileOutput to{
        .stride = task.out_stride, .columns = rows, .bias = task.bias != nullptr ? bias : nullptr};
    std::int64_t k0 = 0;
    do {  // at least once: without columns the output is the bias
      const std::int64_t depth = cols - k0 < kPanelDepth ? cols - k0 : kPanelDepth;
      PackWeight(task.weight, row, rows, k0, depth, piece, panel);
      to.first = k0 == 0;
      to.last = k0 + depth == cols;
      for (std::int64_t c = begin; c < end; ++c) {
        const std::int64_t first = ChunkBegin(m, chunks, c);
        const std::int64_t height = ChunkBegin(m, chunks, c + 1) - first;
        to.out = task.out + first * task.out_stride + row;
        PackedChunkOfHeight(height, packed + first * cols + k0 * height, panel, depth, to);
      }
      k0 += depth;
    } while (k0 < cols);
  }
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
