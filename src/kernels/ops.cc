#include "kernels/ops.h"

#include <algorithm>
#include <array>

#include "base/checked_math.h"
#include "kernels/ops_kernels.h"
#include "kernels/target.h"

namespace mdsa::kernels {

const OpKernels& ActiveOpKernels() {
#if defined(__x86_64__)
  static constexpr std::array<const OpKernels*, kTargetCount> kTables = {&kOpsPortable, &kOpsAvx2,
                                                                         &kOpsAvx512, &kOpsAvx512};
  return *kTables[static_cast<std::size_t>(CurrentTarget())];
#else
  return kOpsPortable;
#endif
}

namespace {

// A range of this many cheap values (norms, additions) takes about as long as waking a thread.
constexpr std::int64_t kMinRangeValues = std::int64_t{1} << 14;
// The same for functions with an exponential.
constexpr std::int64_t kMinRangeFunctions = std::int64_t{1} << 12;

// Rows per range: a share for every thread, but not less than pays.
std::int64_t RowGrain(std::int64_t rows, std::int64_t dim, const ThreadPool& pool) {
  return std::max(CeilDiv(rows, 2 * pool.threads()), kMinRangeValues / (dim + 1) + 1);
}

void Map(Activation activation, float* x, const float* factor, std::int64_t n, ThreadPool& pool) {
  const OpKernels& kernels = ActiveOpKernels();
  const std::int64_t grain = std::max(CeilDiv(n, 2 * pool.threads()), kMinRangeFunctions);
  pool.ParallelFor(n, grain, [&](std::int64_t begin, std::int64_t end) {
    kernels.activate(activation, x + begin, factor != nullptr ? factor + begin : nullptr,
                     end - begin);
  });
}

}  // namespace

void RmsNorm(const float* x, std::int64_t rows, std::int64_t dim, const float* weight, float eps,
             float* out, ThreadPool& pool) {
  const OpKernels& kernels = ActiveOpKernels();
  pool.ParallelFor(rows, RowGrain(rows, dim, pool), [&](std::int64_t begin, std::int64_t end) {
    kernels.rms_norm(x + begin * dim, end - begin, dim, weight, eps, out + begin * dim);
  });
}

void LayerNorm(const float* x, const float* residual, std::int64_t rows, std::int64_t dim,
               const float* weight, const float* bias, float eps, float* out, ThreadPool& pool) {
  const OpKernels& kernels = ActiveOpKernels();
  pool.ParallelFor(rows, RowGrain(rows, dim, pool), [&](std::int64_t begin, std::int64_t end) {
    kernels.layer_norm(x + begin * dim, residual != nullptr ? residual + begin * dim : nullptr,
                       end - begin, dim, weight, bias, eps, out + begin * dim);
  });
}

void AddInPlace(float* x, const float* y, std::int64_t n) { ActiveOpKernels().add(x, y, n); }

void Activate(Activation activation, float* x, std::int64_t n, ThreadPool& pool) {
  Map(activation, x, nullptr, n, pool);
}

void ActivateAndMultiply(Activation activation, float* gate, const float* up, std::int64_t n,
                         ThreadPool& pool) {
  Map(activation, gate, up, n, pool);
}

void Rope(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
          std::int64_t x_stride, const float* cos, const float* sin, std::int64_t rotary_dim,
          ThreadPool& pool) {
  const OpKernels& kernels = ActiveOpKernels();
  const std::int64_t half = rotary_dim / 2;
  pool.ParallelFor(tokens, RowGrain(tokens, heads * rotary_dim, pool),
                   [&](std::int64_t begin, std::int64_t end) {
                     kernels.rope(x + begin * x_stride, end - begin, heads, head_dim, x_stride,
                                  cos + begin * half, sin + begin * half, rotary_dim);
                   });
}

void Softmax(float* x, std::int64_t n) { ActiveOpKernels().softmax(x, n); }

std::int64_t ArgMax(const float* x, std::int64_t n) { return ActiveOpKernels().arg_max(x, n); }

float L2Norm(const float* x, std::int64_t n) { return ActiveOpKernels().l2_norm(x, n); }

}  // namespace mdsa::kernels
