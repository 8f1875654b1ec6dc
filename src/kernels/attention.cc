// Cuts attention into units for the threads.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/checked_math.h"
#include "kernels/ops.h"
#include "kernels/ops_kernels.h"
#include "kernels/scratch.h"

namespace mdsa::kernels {
namespace {

// A split of the keys shorter than this costs more to merge than it gains.
constexpr std::int64_t kMinSplitKeys = 256;
constexpr std::int64_t kUnitsPerThread = 4;
// Multiply-accumulates below which a range is not worth another thread.
constexpr std::int64_t kMinRangeWork = std::int64_t{1} << 15;

}  // namespace

void Attention(const AttentionArgs& given, ThreadPool& pool) {
  AttentionArgs args = given;
  if (args.m <= 0 || args.heads <= 0 || args.head_dim <= 0) return;
  MDSA_DCHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  if (args.key_mask != nullptr && args.kv_length > 0 &&
      std::memchr(args.key_mask, 0, static_cast<std::size_t>(args.kv_length)) == nullptr) {
    args.key_mask = nullptr;  // nothing is hidden
  }
  const OpKernels& kernels = ActiveOpKernels();
  const std::int64_t rows = args.m * (args.heads / args.kv_heads);
  const std::int64_t blocks = CeilDiv(rows, kAttentionRows);
  std::int64_t splits = 1;
  if (args.kv_heads * blocks < kUnitsPerThread * pool.threads()) {
    splits = std::min(CeilDiv(kUnitsPerThread * pool.threads(), args.kv_heads * blocks),
                      args.kv_length / kMinSplitKeys);
    if (pool.threads() == 1 || splits < 1) splits = 1;
  }
  const std::int64_t partial_floats = kAttentionRows * AttentionPartialFloats(args.head_dim);
  static thread_local ScratchBuffer partial_buffer;
  float* partials = splits == 1 ? nullptr
                                : reinterpret_cast<float*>(partial_buffer.Get(
                                      args.kv_heads * blocks * splits * partial_floats *
                                      static_cast<std::int64_t>(sizeof(float))));
  const auto unit_at = [&](std::int64_t index) {
    const std::int64_t split = index % splits;
    const std::int64_t block = index / splits % blocks;
    AttentionUnit unit;
    unit.kv_head = index / splits / blocks;
    unit.row_begin = block * kAttentionRows;
    unit.row_end = std::min(rows, unit.row_begin + kAttentionRows);
    unit.key_begin = args.kv_length * split / splits;
    unit.key_end = args.kv_length * (split + 1) / splits;
    unit.partial = partials != nullptr ? partials + index * partial_floats : nullptr;
    return unit;
  };
  const std::int64_t unit_work =
      std::min(rows, kAttentionRows) * args.head_dim * (args.kv_length / splits) * 2 + 1;
  const std::int64_t scratch_bytes = kernels.attention_scratch_bytes(args.head_dim);
  // Causal blocks grow with the query; single units, handed out as threads become free, even it
  // out.
  pool.ParallelFor(args.kv_heads * blocks * splits, CeilDiv(kMinRangeWork, unit_work),
                   [&](std::int64_t begin, std::int64_t end) {
                     static thread_local ScratchBuffer scratch;
                     std::byte* memory = scratch.Get(scratch_bytes);
                     for (std::int64_t i = begin; i < end; ++i) {
                       kernels.attention(args, unit_at(i), memory);
                     }
                   });
  if (splits == 1) return;
  for (std::int64_t i = 0; i < args.kv_heads * blocks; ++i) {
    kernels.attention_merge(args, unit_at(i * splits), splits);
  }
}

}  // namespace mdsa::kernels
