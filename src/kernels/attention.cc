// Cuts attention into units for the threads.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/checked_math.h"
#include "kernels/matmul_kernels.h"
#include "kernels/ops.h"
#include "kernels/ops_kernels.h"
#include "kernels/scratch.h"

namespace mdsa::kernels {
namespace {

// A split of the keys shorter than this costs more to merge than it gains.
constexpr std::int64_t kMinSplitKeys = 256;
// Keys are split until there are this many units: work for many threads. Not their actual number,
// which would change the order of the additions, and so the result, from one machine to the next.
constexpr std::int64_t kWantedUnits = 64;
// Multiply-accumulates below which a range is not worth another thread.
constexpr std::int64_t kMinRangeWork = std::int64_t{1} << 15;

struct UnitGrid {
  std::int64_t rows = 0;    // of each key/value head
  std::int64_t blocks = 0;  // of up to kAttentionRows of them
  std::int64_t splits = 1;  // of the keys
};

UnitGrid MakeGrid(const AttentionArgs& args) {
  UnitGrid grid;
  grid.rows = args.m * (args.heads / args.kv_heads);
  grid.blocks = CeilDiv(grid.rows, kAttentionRows);
  const std::int64_t wanted = CeilDiv(kWantedUnits, args.kv_heads * grid.blocks);
  grid.splits = std::clamp<std::int64_t>(args.kv_length / kMinSplitKeys, 1, wanted);
  return grid;
}

// Of all units. There are fewer than twice kWantedUnits wherever keys are split.
std::int64_t PartialBytes(std::int64_t m, std::int64_t heads, std::int64_t kv_heads,
                          std::int64_t head_dim) {
  const std::int64_t rows = std::min(SaturatingProduct({m, heads / kv_heads}), kAttentionRows);
  return RoundUp(
      SaturatingProduct({2 * kWantedUnits, rows, AttentionPartialFloats(head_dim), sizeof(float)}),
      kScratchAlignment);
}

}  // namespace

std::int64_t AttentionUnitBytes(std::int64_t head_dim) {
  const std::int64_t padded = RoundUp(head_dim, kMaxPanelRows);
  const std::int64_t floats =
      SaturatingProduct({kAttentionRows, kAttentionKeyBlock + padded + head_dim + 2}) +
      SaturatingProduct({kAttentionKeyBlock, padded + 1}) +
      SaturatingProduct({kMaxPanelRows, head_dim});
  return RoundUp(SaturatingProduct({floats, sizeof(float)}), kScratchAlignment);
}

std::size_t AttentionScratchBytes(std::int64_t m, std::int64_t heads, std::int64_t kv_heads,
                                  std::int64_t head_dim, int threads) {
  if (m <= 0 || heads <= 0 || kv_heads <= 0 || head_dim <= 0) return 0;
  return static_cast<std::size_t>(PartialBytes(m, heads, kv_heads, head_dim) +
                                  SaturatingProduct({threads, AttentionUnitBytes(head_dim)}));
}

void Attention(const AttentionArgs& given, std::span<std::byte> scratch, ThreadPool& pool) {
  AttentionArgs args = given;
  if (args.m <= 0 || args.heads <= 0 || args.head_dim <= 0) return;
  MDSA_DCHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  MDSA_DCHECK(scratch.size() >= AttentionScratchBytes(args.m, args.heads, args.kv_heads,
                                                      args.head_dim, pool.threads()));
  MDSA_DCHECK(reinterpret_cast<std::uintptr_t>(scratch.data()) % kScratchAlignment == 0);
  if (args.key_mask != nullptr && args.kv_length > 0 &&
      std::memchr(args.key_mask, 0, static_cast<std::size_t>(args.kv_length)) == nullptr) {
    args.key_mask = nullptr;  // nothing is hidden
  }
  const OpKernels& kernels = ActiveOpKernels();
  const UnitGrid grid = MakeGrid(args);
  const std::int64_t partial_floats =
      std::min(grid.rows, kAttentionRows) * AttentionPartialFloats(args.head_dim);
  auto* const partials = reinterpret_cast<float*>(scratch.data());
  std::byte* const unit_scratch =
      scratch.data() + PartialBytes(args.m, args.heads, args.kv_heads, args.head_dim);
  const std::int64_t unit_bytes = AttentionUnitBytes(args.head_dim);
  const auto unit_at = [&](std::int64_t index) {
    const std::int64_t split = index % grid.splits;
    const std::int64_t block = index / grid.splits % grid.blocks;
    AttentionUnit unit;
    unit.kv_head = index / grid.splits / grid.blocks;
    unit.row_begin = block * kAttentionRows;
    unit.row_end = std::min(grid.rows, unit.row_begin + kAttentionRows);
    unit.key_begin = args.kv_length * split / grid.splits;
    unit.key_end = args.kv_length * (split + 1) / grid.splits;
    unit.partial = grid.splits > 1 ? partials + index * partial_floats : nullptr;
    return unit;
  };
  const std::int64_t unit_work =
      std::min(grid.rows, kAttentionRows) * args.head_dim * (args.kv_length / grid.splits) * 2 + 1;
  // Causal blocks grow with the query; single units, handed out as threads become free, even it
  // out.
  ParallelForSlots(pool, args.kv_heads * grid.blocks * grid.splits,
                   CeilDiv(kMinRangeWork, unit_work),
                   [&](std::int64_t begin, std::int64_t end, std::int64_t slot) {
                     for (std::int64_t i = begin; i < end; ++i) {
                       kernels.attention(args, unit_at(i), unit_scratch + slot * unit_bytes);
                     }
                   });
  if (grid.splits == 1) return;
  for (std::int64_t i = 0; i < args.kv_heads * grid.blocks; ++i) {
    kernels.attention_merge(args, unit_at(i * grid.splits), grid.splits, partial_floats);
  }
}

}  // namespace mdsa::kernels
