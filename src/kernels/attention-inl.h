// Attention of one unit (ops_kernels.h): keys in blocks, softmax by running maximum and sum, so
// that the scores of a block stay in cache whatever the length.
#pragma once

#include "kernels/matmul_packed-inl.h"
#include "kernels/ops-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

constexpr int kKeyBlock = kAttentionKeyBlock;
// Fewer rows take their scores as dot products with the keys as stored; more of them pay for
// transposing the keys.
constexpr std::int64_t kMinRowsToTranspose = 9;

// In a unit's scratch, whose size is AttentionUnitBytes (attention.cc).
struct AttentionScratch {
  std::int64_t padded_dim;  // head_dim rounded up to whole panels
  float* queries;           // scaled; [rows][head_dim], or packed chunks [head_dim][height]
  float* scores;            // [rows][kKeyBlock]
  float* sums;              // [rows][padded_dim]
  float* panel;             // [head_dim][kPanelRows]
  float* values;            // [kKeyBlock][padded_dim], where the stored rows are no whole panels
  float* max;               // [rows]
  float* weight;            // [rows]
  float* key_bias;          // [kKeyBlock]: 0, or -infinity for a masked key
};

inline std::int64_t PaddedDim(std::int64_t head_dim) {
  return (head_dim + kPanelRows - 1) / kPanelRows * kPanelRows;
}

inline AttentionScratch LayOut(std::byte* memory, std::int64_t head_dim) {
  AttentionScratch s;
  s.padded_dim = PaddedDim(head_dim);
  auto* p = reinterpret_cast<float*>(memory);
  const auto take = [&p](std::int64_t count) {
    float* taken = p;
    p += count;
    return taken;
  };
  s.scores = take(kAttentionRows * kKeyBlock);
  s.key_bias = take(kKeyBlock);
  s.sums = take(kAttentionRows * s.padded_dim);
  s.values = take(kKeyBlock * s.padded_dim);
  s.panel = take(head_dim * kPanelRows);
  s.queries = take(kAttentionRows * head_dim);
  s.max = take(kAttentionRows);
  s.weight = take(kAttentionRows);
  return s;
}

// The keys that row `row` of the unit's key/value head sees: [begin, end).
struct KeyRange {
  std::int64_t begin;
  std::int64_t end;
};
inline KeyRange VisibleKeys(const AttentionArgs& args, std::int64_t row) {
  if (!args.causal) return {0, args.kv_length};
  const std::int64_t position = args.kv_length - args.m + row / (args.heads / args.kv_heads);
  const std::int64_t begin = position - args.window + 1;
  return {args.window > 0 && begin > 0 ? begin : 0, position + 1 > 0 ? position + 1 : 0};
}

inline void LoadQueries(const AttentionArgs& args, const AttentionUnit& unit, bool packed,
                        const AttentionScratch& s) {
  const std::int64_t group = args.heads / args.kv_heads;
  const std::int64_t rows = unit.row_end - unit.row_begin;
  const std::int64_t chunks = packed ? ChunkCount(rows, kMaxTileRows) : rows;
  const VF scale = Set1(args.scale);
  for (std::int64_t c = 0; c < chunks; ++c) {
    const std::int64_t first = ChunkBegin(rows, chunks, c);
    const std::int64_t height = ChunkBegin(rows, chunks, c + 1) - first;
    for (std::int64_t i = 0; i < height; ++i) {
      const std::int64_t row = unit.row_begin + first + i;
      const float* q = args.q + row / group * args.q_stride +
                       (unit.kv_head * group + row % group) * args.head_dim;
      float* to = s.queries + first * args.head_dim;
      if (packed) {
        for (std::int64_t d = 0; d < args.head_dim; ++d) to[d * height + i] = q[d] * args.scale;
      } else {
        ForEachVector(args.head_dim, [&](std::int64_t d, std::int64_t n) {
          StoreUpTo(to + d, Mul(LoadUpTo(q + d, n), scale), n);
        });
      }
    }
  }
}

// scores[row][0..count) for the keys at `keys`.
inline void ScoreByDots(const float* keys, std::int64_t count, std::int64_t rows,
                        std::int64_t head_dim, const AttentionScratch& s) {
  for (std::int64_t j = 0; j < count; j += kDotTileN) {
    const std::int64_t n = count - j < kDotTileN ? count - j : kDotTileN;
    float sums[kMinRowsToTranspose * kDotTileN] = {};
    DotBlock<F32Decoder>(s.queries, head_dim, rows,
                         reinterpret_cast<const std::byte*>(keys + j * head_dim), head_dim * 4, n,
                         head_dim, sums);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t t = 0; t < n; ++t)
        s.scores[i * kKeyBlock + j + t] = sums[i * kDotTileN + t];
    }
  }
}

inline void ScoreByPanels(const float* keys, std::int64_t count, std::int64_t rows,
                          std::int64_t head_dim, const AttentionScratch& s) {
  const std::int64_t chunks = ChunkCount(rows, kMaxTileRows);
  for (std::int64_t j = 0; j < count; j += kPanelRows) {
    const std::int64_t n = count - j < kPanelRows ? count - j : kPanelRows;
    PackRows(reinterpret_cast<const std::byte*>(keys + j * head_dim), head_dim * 4, n, head_dim,
             s.panel);
    TileOutput to{.stride = kKeyBlock, .columns = n};
    for (std::int64_t c = 0; c < chunks; ++c) {
      const std::int64_t first = ChunkBegin(rows, chunks, c);
      to.out = s.scores + first * kKeyBlock + j;
      PackedChunkOfHeight(ChunkBegin(rows, chunks, c + 1) - first, s.queries + first * head_dim,
                          s.panel, head_dim, to);
    }
  }
}

// Turns the scores of a row into weights relative to its new maximum, and rescales what the row has
// summed so far.
inline void UpdateRow(const AttentionScratch& s, std::int64_t i, std::int64_t count) {
  float* scores = s.scores + i * kKeyBlock;
  float max = MaxOf(scores, count);
  max = max > s.max[i] ? max : s.max[i];
  if (max == -__builtin_inff()) {  // nothing visible yet
    for (std::int64_t j = 0; j < count; ++j) scores[j] = scores[j] == max ? 0.0f : scores[j];
    return;
  }
  const float sum = ExpAndSum(scores, count, max);
  if (max != s.max[i]) {
    float lanes[kLanes];
    Store(lanes, Exp(Set1(s.max[i] - max)));
    s.weight[i] *= lanes[0];
    const VF factor = Set1(lanes[0]);
    float* sums = s.sums + i * s.padded_dim;
    for (std::int64_t d = 0; d < s.padded_dim; d += kLanes) {
      Store(sums + d, Mul(Load(sums + d), factor));
    }
    s.max[i] = max;
  }
  s.weight[i] += sum;
}

template <int kRows = kMaxTileRows>
void AddValuesOfHeight(std::int64_t height, const float* weights, const float* values,
                       std::int64_t value_stride, std::int64_t count, const TileOutput& to) {
  if (height == kRows) {
    VF acc[kRows][2];
    for (auto& row : acc) row[0] = row[1] = Zero();
    PackedTile<kRows, 1, kKeyBlock>(weights, values, value_stride, count, acc);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      FinishVector(to, acc[i][0], to.out + i * to.stride, 0);
      FinishVector(to, acc[i][1], to.out + i * to.stride, kLanes);
    }
  } else if constexpr (kRows > 1) {
    AddValuesOfHeight<kRows - 1>(height, weights, values, value_stride, count, to);
  }
}

// sums += weights . values.
inline void AddValues(const float* values, std::int64_t count, std::int64_t rows,
                      std::int64_t head_dim, const AttentionScratch& s) {
  std::int64_t stride = head_dim;
  if (s.padded_dim != head_dim) {
    for (std::int64_t j = 0; j < count; ++j) {
      float* to = s.values + j * s.padded_dim;
      __builtin_memcpy(to, values + j * head_dim, static_cast<std::size_t>(head_dim) * 4);
      for (std::int64_t d = head_dim; d < s.padded_dim; ++d) to[d] = 0.0f;
    }
    values = s.values;
    stride = s.padded_dim;
  }
  const std::int64_t chunks = ChunkCount(rows, kMaxTileRows);
  for (std::int64_t c = 0; c < chunks; ++c) {
    const std::int64_t first = ChunkBegin(rows, chunks, c);
    const std::int64_t height = ChunkBegin(rows, chunks, c + 1) - first;
    for (std::int64_t d = 0; d < s.padded_dim; d += kPanelRows) {
      const TileOutput to{.out = s.sums + first * s.padded_dim + d,
                          .stride = s.padded_dim,
                          .columns = kPanelRows,
                          .first = false};
      AddValuesOfHeight(height, s.scores + first * kKeyBlock, values + d, stride, count, to);
    }
  }
}

// Hides keys [j0, j0 + count) outside each row's range, and masked ones.
inline void HideKeys(const AttentionArgs& args, const AttentionUnit& unit, std::int64_t j0,
                     std::int64_t count, const AttentionScratch& s) {
  const float hidden = -__builtin_inff();
  if (args.key_mask != nullptr) {
    for (std::int64_t j = 0; j < count; ++j) {
      s.key_bias[j] = args.key_mask[j0 + j] != 0 ? 0.0f : hidden;
    }
  }
  for (std::int64_t i = 0; i < unit.row_end - unit.row_begin; ++i) {
    float* scores = s.scores + i * kKeyBlock;
    const KeyRange keys = VisibleKeys(args, unit.row_begin + i);
    for (std::int64_t j = 0; j < count && j0 + j < keys.begin; ++j) scores[j] = hidden;
    for (std::int64_t j = keys.end > j0 ? keys.end - j0 : 0; j < count; ++j) scores[j] = hidden;
    if (args.key_mask != nullptr) {
      ForEachVector(count, [&](std::int64_t j, std::int64_t n) {
        const VF bias = LoadUpTo(s.key_bias + j, n);
        StoreUpTo(scores + j, Select(Less(bias, Zero()), bias, LoadUpTo(scores + j, n)), n);
      });
    }
  }
}

void WriteRow(const AttentionArgs& args, std::int64_t kv_head, std::int64_t row, const float* sums,
              float weight) {
  const std::int64_t group = args.heads / args.kv_heads;
  float* out =
      args.out + row / group * args.out_stride + (kv_head * group + row % group) * args.head_dim;
  const VF scale = Set1(weight > 0.0f || weight != weight ? 1.0f / weight : 0.0f);
  ForEachVector(args.head_dim, [&](std::int64_t d, std::int64_t n) {
    StoreUpTo(out + d, Mul(LoadUpTo(sums + d, n), scale), n);
  });
}

void AttentionOfUnit(const AttentionArgs& args, const AttentionUnit& unit, std::byte* memory) {
  const AttentionScratch s = LayOut(memory, args.head_dim);
  const std::int64_t rows = unit.row_end - unit.row_begin;
  const bool packed = rows >= kMinRowsToTranspose;
  LoadQueries(args, unit, packed, s);
  for (std::int64_t i = 0; i < rows; ++i) {
    s.max[i] = -__builtin_inff();
    s.weight[i] = 0.0f;
  }
  for (std::int64_t i = 0; i < rows * s.padded_dim; ++i) s.sums[i] = 0.0f;
  const std::int64_t first_seen = VisibleKeys(args, unit.row_begin).begin;
  const std::int64_t last_seen = VisibleKeys(args, unit.row_end - 1).end;
  const std::int64_t begin = unit.key_begin > first_seen ? unit.key_begin : first_seen;
  const std::int64_t end = unit.key_end < last_seen ? unit.key_end : last_seen;
  const std::int64_t base = unit.kv_head * args.kv_capacity * args.head_dim;
  for (std::int64_t j = begin; j < end; j += kKeyBlock) {
    const std::int64_t count = end - j < kKeyBlock ? end - j : kKeyBlock;
    const float* keys = args.keys + base + j * args.head_dim;
    if (packed) {
      ScoreByPanels(keys, count, rows, args.head_dim, s);
    } else {
      ScoreByDots(keys, count, rows, args.head_dim, s);
    }
    HideKeys(args, unit, j, count, s);
    for (std::int64_t i = 0; i < rows; ++i) UpdateRow(s, i, count);
    AddValues(args.values + base + j * args.head_dim, count, rows, args.head_dim, s);
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* sums = s.sums + i * s.padded_dim;
    if (unit.partial == nullptr) {
      WriteRow(args, unit.kv_head, unit.row_begin + i, sums, s.weight[i]);
      continue;
    }
    float* partial = unit.partial + i * AttentionPartialFloats(args.head_dim);
    partial[0] = s.max[i];
    partial[1] = s.weight[i];
    __builtin_memcpy(partial + 2, sums, static_cast<std::size_t>(args.head_dim) * 4);
  }
}

void MergeAttention(const AttentionArgs& args, const AttentionUnit& first, std::int64_t splits,
                    std::int64_t stride) {
  const std::int64_t row_floats = AttentionPartialFloats(args.head_dim);
  for (std::int64_t i = 0; i < first.row_end - first.row_begin; ++i) {
    float* total = first.partial + i * row_floats;
    for (std::int64_t split = 1; split < splits; ++split) {
      const float* part = total + split * stride;
      const float max = part[0] > total[0] ? part[0] : total[0];
      if (max == -__builtin_inff()) continue;
      float factors[kLanes];
      Store(factors, Exp(Set1(total[0] - max)));
      const VF keep = Set1(factors[0]);
      const float total_weight = total[1] * factors[0];
      Store(factors, Exp(Set1(part[0] - max)));
      const VF add = Set1(factors[0]);
      total[0] = max;
      total[1] = total_weight + part[1] * factors[0];
      ForEachVector(args.head_dim, [&](std::int64_t d, std::int64_t n) {
        const VF sum = Mul(LoadUpTo(total + 2 + d, n), keep);
        StoreUpTo(total + 2 + d, MulAdd(LoadUpTo(part + 2 + d, n), add, sum), n);
      });
    }
    WriteRow(args, first.kv_head, first.row_begin + i, total + 2, total[1]);
  }
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
