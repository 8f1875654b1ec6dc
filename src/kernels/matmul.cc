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
      &kMatMulPortable, &kMatMulAvx2, &kMatMulAvx512, &kMatMulAvx512Vnni};
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
  std::int64_t splits = 1;
  std::int64_t units = 0;       // row groups * splits
  std::int64_t first_unit = 0;  // in the numbering over all tasks
};

// A product of tasks that want the same layout.
struct Product {
  const MatMulKernels& kernels;
  ActivationLayout layout;
  ActivationArgs activations;
  std::int64_t parts;  // rows or chunks of activations
};

Plan MakePlan(const Product& product, const WeightView& weight, int threads) {
  Plan plan;
  const std::int64_t groups = CeilDiv(weight.rows, product.kernels.panel_rows);
  if (product.parts < product.activations.m && groups > 0 && groups < 4 * threads) {
    // Few outputs: split the chunks too, though each part packs the panel of weights again.
    const std::int64_t wanted = CeilDiv(4 * threads, groups);
    plan.splits = std::max<std::int64_t>(1, std::min(wanted, product.parts / 4));
  }
  plan.units = groups * plan.splits;
  return plan;
}

void Arrange(const Product& product, std::byte* arranged, ThreadPool& pool) {
  if (product.layout == ActivationLayout::kRows) return;
  const ActivationArgs& args = product.activations;
  const std::int64_t values = args.cols * std::max<std::int64_t>(1, args.m / product.parts);
  const std::int64_t grain = std::max<std::int64_t>(CeilDiv(product.parts, 2 * pool.threads()),
                                                    kMinPrepareValues / (values + 1) + 1);
  pool.ParallelFor(product.parts, grain, [&](std::int64_t begin, std::int64_t end) {
    product.kernels.arrange(product.layout, args, begin, end, arranged);
  });
}

// Units [begin, end) of one task, numbered from 0.
void RunUnits(const Product& product, const Plan& plan, const ProductArgs& args, std::int64_t begin,
              std::int64_t end) {
  const std::int64_t panel_rows = product.kernels.panel_rows;
  const std::int64_t rows = args.task->weight.rows;
  const std::int64_t groups = plan.units / plan.splits;
  while (begin < end) {
    const std::int64_t split = begin / groups;
    const std::int64_t last = std::min(end, (split + 1) * groups);
    product.kernels.multiply(product.layout, args, (begin - split * groups) * panel_rows,
                             std::min(rows, (last - split * groups) * panel_rows),
                             ChunkBegin(product.parts, plan.splits, split),
                             ChunkBegin(product.parts, plan.splits, split + 1));
    begin = last;
  }
}

// The plans of one product stay on the stack; a longer list runs as several.
constexpr std::size_t kMaxTasks = 8;

void Run(const Product& product, std::span<const MatMulTask> tasks, std::byte* arranged,
         std::byte* tiles, ThreadPool& pool) {
  std::array<Plan, kMaxTasks> plans;
  std::int64_t units = 0;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    plans[t] = MakePlan(product, tasks[t].weight, pool.threads());
    plans[t].first_unit = units;
    units += plans[t].units;
  }
  Arrange(product, arranged, pool);
  const ActivationArgs& activations = product.activations;
  const std::int64_t unit_work =
      product.kernels.panel_rows * activations.m * activations.cols / plans[0].splits + 1;
  const std::int64_t grain = std::max(CeilDiv(units, kRangesPerThread * pool.threads()),
                                      CeilDiv(kMinRangeWork, unit_work));
  ParallelForSlots(pool, units, grain,
                   [&](std::int64_t begin, std::int64_t end, std::int64_t slot) {
                     for (std::size_t t = 0; t < tasks.size(); ++t) {
                       const Plan& plan = plans[t];
                       const std::int64_t from = std::max<std::int64_t>(begin - plan.first_unit, 0);
                       const std::int64_t to = std::min(end - plan.first_unit, plan.units);
                       if (from >= to) continue;
                       const ProductArgs args{activations, arranged, &tasks[t],
                                              tiles + slot * kProductScratchBytes};
                       RunUnits(product, plan, args, from, to);
                     }
                   });
}

std::int64_t ArrangedBytes(std::int64_t m, std::int64_t cols) {
  return SaturatingProduct({m, RoundUp(cols, kArrangedColumns), sizeof(float)});
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
  return static_cast<std::size_t>(ArrangedBytes(m, cols) +
                                  SaturatingProduct({threads, kProductScratchBytes}));
}

void MatMul(const float* x, std::int64_t x_stride, std::int64_t m,
            std::span<const MatMulTask> tasks, std::span<std::byte> scratch, ThreadPool& pool) {
  if (m <= 0 || tasks.empty()) return;
  const MatMulKernels& kernels = ActiveKernels();
  const ActivationArgs activations{
      .x = x, .x_stride = x_stride, .m = m, .cols = tasks[0].weight.cols};
  MDSA_DCHECK(scratch.size() >= MatMulScratchBytes(m, activations.cols, pool.threads()));
  MDSA_DCHECK(reinterpret_cast<std::uintptr_t>(scratch.data()) % kScratchAlignment == 0);
  std::byte* const tiles = scratch.data() + ArrangedBytes(m, activations.cols);
  while (!tasks.empty()) {
    const ActivationLayout layout = kernels.choose_layout(tasks[0].weight, m);
    std::size_t count = 0;
    for (; count < std::min(tasks.size(), kMaxTasks); ++count) {
      MDSA_DCHECK(tasks[count].weight.cols == activations.cols);
      if (kernels.choose_layout(tasks[count].weight, m) != layout) break;
    }
    const Product product{kernels, layout, activations, ChunkCount(m, kernels.chunk_rows(layout))};
    Run(product, tasks.first(count), scratch.data(), tiles, pool);
    tasks = tasks.subspan(count);
  }
}

}  // namespace mdsa::kernels
