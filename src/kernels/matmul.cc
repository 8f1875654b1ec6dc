#include "kernels/matmul.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/checked_math.h"
#include "kernels/codec.h"
#include "kernels/matmul_kernels.h"
#include "kernels/scratch.h"
#include "kernels/target.h"

namespace mdsa::kernels {
namespace {

const MatMulKernels& ActiveKernels() {
#if defined(__x86_64__)
  static constexpr std::array<const MatMulKernels*, kTargetCount> kTables = {
      &kMatMulPortable, &kMatMulAvx2, &kMatMulAvx512};
  return *kTables[static_cast<std::size_t>(CurrentTarget())];
#else
  return kMatMulPortable;
#endif
}

// Work below this many multiply-accumulates is not worth handing to another thread.
constexpr std::int64_t kMinRangeWork = std::int64_t{1} << 16;
// Ranges per thread: enough for threads that run at different speeds to finish together.
constexpr std::int64_t kRangesPerThread = 6;
// Values of x packed by one range of the preparation.
constexpr std::int64_t kMinPrepareValues = std::int64_t{1} << 14;

// How one task is cut: units of `panel_rows` weight rows x `splits` parts of the activation rows.
struct Plan {
  bool packed = false;
  std::int64_t splits = 1;
  std::int64_t units = 0;       // row groups * splits
  std::int64_t first_unit = 0;  // in the numbering over all tasks
};

// Rows of activations, or chunks of packed ones.
std::int64_t Parts(const MatMulKernels& kernels, bool packed, std::int64_t m) {
  return packed ? ChunkCount(m, kernels.max_chunk_rows) : m;
}

Plan MakePlan(const MatMulKernels& kernels, const WeightView& weight, std::int64_t m, int threads) {
  Plan plan;
  plan.packed = kernels.pays_to_pack(weight, m);
  const std::int64_t groups = CeilDiv(weight.rows, kernels.panel_rows);
  if (plan.packed && groups > 0 && groups < 4 * threads) {
    // Few outputs: split the activation rows too, though each part packs the panel again.
    const std::int64_t chunks = Parts(kernels, plan.packed, m);
    const std::int64_t wanted = CeilDiv(4 * threads, groups);
    plan.splits = std::max<std::int64_t>(1, std::min(wanted, chunks / 4));
  }
  plan.units = groups * plan.splits;
  return plan;
}

void PackActivations(const MatMulKernels& kernels, const ActivationArgs& args, float* packed,
                     ThreadPool& pool) {
  const std::int64_t chunks = Parts(kernels, true, args.m);
  const std::int64_t values = args.cols * std::max<std::int64_t>(1, args.m / chunks);
  const std::int64_t grain = std::max<std::int64_t>(CeilDiv(chunks, 2 * pool.threads()),
                                                    kMinPrepareValues / (values + 1) + 1);
  pool.ParallelFor(chunks, grain, [&](std::int64_t begin, std::int64_t end) {
    kernels.pack_activations(args, begin, end, packed);
  });
}

// Units [begin, end) of one task, numbered from 0.
void RunUnits(const MatMulKernels& kernels, const Plan& plan, const ProductArgs& args,
              std::int64_t begin, std::int64_t end) {
  const auto multiply = plan.packed ? kernels.multiply_packed : kernels.multiply_dots;
  const std::int64_t rows = args.task->weight.rows;
  const std::int64_t parts = Parts(kernels, plan.packed, args.activations.m);
  const std::int64_t groups = plan.units / plan.splits;
  while (begin < end) {
    const std::int64_t split = begin / groups;
    const std::int64_t last = std::min(end, (split + 1) * groups);
    multiply(args, (begin - split * groups) * kernels.panel_rows,
             std::min(rows, (last - split * groups) * kernels.panel_rows),
             ChunkBegin(parts, plan.splits, split), ChunkBegin(parts, plan.splits, split + 1));
    begin = last;
  }
}

std::int64_t PackedBytes(std::int64_t m, std::int64_t cols) {
  return RoundUp(SaturatingProduct({m, cols, sizeof(float)}), kScratchAlignment);
}

}  // namespace

void DecodeBlocks(DType type, const std::byte* data, std::int64_t begin, std::int64_t count,
                  float* out) {
  const DTypeTraits& traits = TraitsOf(type);
  DecodeToFloat(type, data + begin / traits.block_elements * traits.block_bytes,
                {out, static_cast<std::size_t>(count)});
}

void DecodeRow(const WeightView& weight, std::int64_t row, float* out) {
  ActiveKernels().decode(weight, row * weight.cols, weight.cols, out);
}

std::size_t MatMulScratchBytes(std::int64_t m, std::int64_t cols, int threads) {
  return static_cast<std::size_t>(PackedBytes(m, cols) +
                                  SaturatingProduct({threads, kProductScratchBytes}));
}

void MatMul(const float* x, std::int64_t x_stride, std::int64_t m,
            std::span<const MatMulTask> tasks, std::span<std::byte> scratch, ThreadPool& pool) {
  // A longer list runs as several: the plans stay on the stack.
  constexpr std::size_t kMaxTasks = 8;
  for (; tasks.size() > kMaxTasks; tasks = tasks.subspan(kMaxTasks)) {
    MatMul(x, x_stride, m, tasks.first(kMaxTasks), scratch, pool);
  }
  if (m <= 0 || tasks.empty()) return;
  const MatMulKernels& kernels = ActiveKernels();
  const ActivationArgs activations{
      .x = x, .x_stride = x_stride, .m = m, .cols = tasks[0].weight.cols};
  MDSA_DCHECK(scratch.size() >= MatMulScratchBytes(m, activations.cols, pool.threads()));
  MDSA_DCHECK(reinterpret_cast<std::uintptr_t>(scratch.data()) % kScratchAlignment == 0);
  auto* const packed = reinterpret_cast<float*>(scratch.data());
  std::byte* const tiles = scratch.data() + PackedBytes(m, activations.cols);
  std::array<Plan, kMaxTasks> plans;
  std::int64_t units = 0;
  bool any_packed = false;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    MDSA_DCHECK(tasks[t].weight.cols == activations.cols);
    plans[t] = MakePlan(kernels, tasks[t].weight, m, pool.threads());
    plans[t].first_unit = units;
    units += plans[t].units;
    any_packed = any_packed || plans[t].packed;
  }
  if (any_packed) PackActivations(kernels, activations, packed, pool);
  const std::int64_t unit_work = kernels.panel_rows * m * activations.cols / plans[0].splits + 1;
  const std::int64_t grain = std::max(CeilDiv(units, kRangesPerThread * pool.threads()),
                                      CeilDiv(kMinRangeWork, unit_work));
  ParallelForSlots(pool, units, grain,
                   [&](std::int64_t begin, std::int64_t end, std::int64_t slot) {
                     for (std::size_t t = 0; t < tasks.size(); ++t) {
                       const Plan& plan = plans[t];
                       const std::int64_t from = std::max<std::int64_t>(begin - plan.first_unit, 0);
                       const std::int64_t to = std::min(end - plan.first_unit, plan.units);
                       if (from >= to) continue;
                       const ProductArgs args{activations, packed, &tasks[t],
                                              tiles + slot * kProductScratchBytes};
                       RunUnits(kernels, plan, args, from, to);
                     }
                   });
}

}  // namespace mdsa::kernels
