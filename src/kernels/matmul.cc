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
      &kMatMulPortable, &kMatMulAvx2, &kMatMulAvx512, &kMatMulAvx512Bf16};
  return *kTables[static_cast<std::size_t>(CurrentTarget())];
#else
  return kMatMulPortable;
#endif
}

// Work below this many multiply-accumulates is not worth handing to another thread.
constexpr std::int64_t kMinRangeWork = std::int64_t{1} << 16;
// Ranges per thread: enough for threads that run at different speeds to finish together.
constexpr std::int64_t kRangesPerThread = 6;
// Values of x converted by one range of the preparation.
constexpr std::int64_t kMinPrepareValues = std::int64_t{1} << 14;

// How one task is cut: units of `panel_rows` weight rows x `splits` parts of the activation rows.
struct Plan {
  ActivationForm form = ActivationForm::kFloat;
  std::int64_t splits = 1;
  std::int64_t units = 0;       // row groups * splits
  std::int64_t first_unit = 0;  // in the numbering over all tasks
};

// Rows or chunks of activations in `form`.
std::int64_t Parts(const MatMulKernels& kernels, ActivationForm form, std::int64_t m) {
  return IsPacked(form) ? ChunkCount(m, kernels.max_chunk_rows) : m;
}

Plan MakePlan(const MatMulKernels& kernels, const WeightView& weight, std::int64_t m, bool reduced,
              int threads) {
  Plan plan;
  plan.form = kernels.choose_form(weight, m, reduced);
  const std::int64_t groups = CeilDiv(weight.rows, kernels.panel_rows);
  if (IsPacked(plan.form) && groups > 0 && groups < 4 * threads) {
    // Few outputs: split the activation rows too, though each part packs the panel again.
    const std::int64_t chunks = Parts(kernels, plan.form, m);
    const std::int64_t wanted = CeilDiv(4 * threads, groups);
    plan.splits = std::max<std::int64_t>(1, std::min(wanted, chunks / 4));
  }
  plan.units = groups * plan.splits;
  return plan;
}

// The activations in each form that a task needs, in memory of the calling thread.
class PreparedActivations {
 public:
  PreparedActivations(const MatMulKernels& kernels, const ActivationArgs& args, ThreadPool& pool)
      : kernels_(kernels), args_(args), pool_(pool) {}

  void Prepare(ActivationForm form) {
    const std::int64_t bytes = kernels_.form_bytes(form, args_.m, args_.cols);
    if (bytes == 0) return;
    static thread_local std::array<ScratchBuffer, kActivationForms> buffers;
    const auto index = static_cast<std::size_t>(form);
    if (prepared_[index] != nullptr) return;
    std::byte* memory = buffers[index].Get(bytes);
    prepared_[index] = memory;
    const std::int64_t parts = Parts(kernels_, form, args_.m);
    const std::int64_t values = args_.cols * std::max<std::int64_t>(1, args_.m / parts);
    const std::int64_t grain = std::max<std::int64_t>(CeilDiv(parts, 2 * pool_.threads()),
                                                      kMinPrepareValues / (values + 1) + 1);
    pool_.ParallelFor(parts, grain, [&](std::int64_t begin, std::int64_t end) {
      kernels_.prepare(form, args_, begin, end, memory);
    });
  }
  const std::byte* Get(ActivationForm form) const {
    return prepared_[static_cast<std::size_t>(form)];
  }

 private:
  const MatMulKernels& kernels_;
  const ActivationArgs& args_;
  ThreadPool& pool_;
  std::array<std::byte*, kActivationForms> prepared_{};
};

// Units [begin, end) of one task, numbered from 0.
void RunUnits(const MatMulKernels& kernels, const Plan& plan, ProductArgs& args, std::int64_t begin,
              std::int64_t end) {
  const std::int64_t rows = args.task->weight.rows;
  const std::int64_t parts = Parts(kernels, plan.form, args.activations.m);
  const std::int64_t groups = plan.units / plan.splits;
  while (begin < end) {
    const std::int64_t split = begin / groups;
    const std::int64_t last = std::min(end, (split + 1) * groups);
    kernels.multiply(plan.form, args, (begin - split * groups) * kernels.panel_rows,
                     std::min(rows, (last - split * groups) * kernels.panel_rows),
                     ChunkBegin(parts, plan.splits, split),
                     ChunkBegin(parts, plan.splits, split + 1));
    begin = last;
  }
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

void MatMul(const float* x, std::int64_t x_stride, std::int64_t m,
            std::span<const MatMulTask> tasks, const MatMulOptions& options, ThreadPool& pool) {
  // A longer list runs as several: the plans stay on the stack.
  constexpr std::size_t kMaxTasks = 8;
  for (; tasks.size() > kMaxTasks; tasks = tasks.subspan(kMaxTasks)) {
    MatMul(x, x_stride, m, tasks.first(kMaxTasks), options, pool);
  }
  if (m <= 0 || tasks.empty()) return;
  const MatMulKernels& kernels = ActiveKernels();
  const ActivationArgs activations{.x = x,
                                   .x_stride = x_stride,
                                   .m = m,
                                   .cols = tasks[0].weight.cols,
                                   .outlier_threshold = options.outlier_threshold};
  PreparedActivations prepared(kernels, activations, pool);
  std::array<Plan, kMaxTasks> plans;
  std::int64_t units = 0;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    MDSA_DCHECK(tasks[t].weight.cols == activations.cols);
    plans[t] = MakePlan(kernels, tasks[t].weight, m, options.reduced_activations, pool.threads());
    plans[t].first_unit = units;
    units += plans[t].units;
    prepared.Prepare(plans[t].form);
  }
  const std::int64_t unit_work = kernels.panel_rows * m * activations.cols / plans[0].splits + 1;
  const std::int64_t grain = std::max(CeilDiv(units, kRangesPerThread * pool.threads()),
                                      CeilDiv(kMinRangeWork, unit_work));
  pool.ParallelFor(units, grain, [&](std::int64_t begin, std::int64_t end) {
    static thread_local ScratchBuffer scratch;
    std::byte* memory = scratch.Get(kProductScratchBytes);
    for (std::size_t t = 0; t < tasks.size(); ++t) {
      const Plan& plan = plans[t];
      const std::int64_t from = std::max<std::int64_t>(begin - plan.first_unit, 0);
      const std::int64_t to = std::min(end - plan.first_unit, plan.units);
      if (from >= to) continue;
      ProductArgs args{activations, prepared.Get(plan.form), &tasks[t], memory};
      RunUnits(kernels, plan, args, from, to);
    }
  });
}

}  // namespace mdsa::kernels
