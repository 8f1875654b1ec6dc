#include "engine/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/checked_math.h"
#include "base/error.h"
#include "base/page_buffer.h"

namespace mdsa::engine {
namespace {

// Look-ups and cache moves below this many floats are not worth waking a second thread.
constexpr std::int64_t kInlineFloats = 1 << 15;

struct CpuMemory final : DeviceMemory {
  explicit CpuMemory(PageBuffer pages) : buffer(std::move(pages)) {
    data = reinterpret_cast<float*>(buffer.data());
  }
  PageBuffer buffer;
};

class CpuOps final : public Ops {
 public:
  explicit CpuOps(std::shared_ptr<ThreadPool> pool) : pool_(std::move(pool)) {}

  Result<std::unique_ptr<DeviceMemory>> Allocate(std::int64_t floats) const override {
    const auto bytes = CheckedMul<std::int64_t>(floats, sizeof(float));
    if (!bytes || *bytes < 0) {
      return Err(ErrorCode::kResourceExhausted, "cannot allocate {} floats", floats);
    }
    MDSA_ASSIGN(PageBuffer pages, PageBuffer::Allocate(static_cast<std::size_t>(*bytes)));
    return std::make_unique<CpuMemory>(std::move(pages));
  }

  std::span<const float> ToHost(const float* data, std::int64_t n,
                                std::vector<float>&) const override {
    return {data, static_cast<std::size_t>(n)};
  }

  void LookUp(const kernels::WeightView& table, std::span<const TokenId> ids,
              float* out) const override {
    const std::int64_t grain = std::max<std::int64_t>(1, kInlineFloats / table.cols);
    pool_->ParallelFor(std::ssize(ids), grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        kernels::DecodeRow(table, ids[static_cast<std::size_t>(i)], out + i * table.cols);
      }
    });
  }

  void Gather(const float* x, std::int64_t dim, std::span<const std::int64_t> rows,
              float* out) const override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(x + rows[i] * dim, dim, out + static_cast<std::int64_t>(i) * dim);
    }
  }

  std::size_t ScratchBytes(const ArchitectureConfig& config, std::int64_t max_rows) const override {
    return CpuScratchBytes(config, max_rows, pool_->threads());
  }
  void MatMul(const float* x, std::int64_t m, std::span<const kernels::MatMulTask> tasks,
              std::span<std::byte> scratch) const override {
    kernels::MatMul(x, tasks.front().weight.cols, m, tasks, scratch, *pool_);
  }
  void RmsNorm(const float* x, std::int64_t rows, std::int64_t dim, const float* weight, float eps,
               float* out) const override {
    kernels::RmsNorm(x, rows, dim, weight, eps, out, *pool_);
  }
  void LayerNorm(const float* x, const float* residual, std::int64_t rows, std::int64_t dim,
                 const float* weight, const float* bias, float eps, float* out) const override {
    kernels::LayerNorm(x, residual, rows, dim, weight, bias, eps, out, *pool_);
  }
  void Add(float* x, const float* y, std::int64_t n) const override {
    kernels::AddInPlace(x, y, n);
  }
  void Activate(kernels::Activation activation, float* x, std::int64_t n) const override {
    kernels::Activate(activation, x, n, *pool_);
  }
  void ActivateAndMultiply(kernels::Activation activation, float* gate, const float* up,
                           std::int64_t n) const override {
    kernels::ActivateAndMultiply(activation, gate, up, n, *pool_);
  }

  void RopeTable(std::span<const float> inverse_frequencies, float scale, std::int64_t first,
                 std::int64_t count, float* cos, float* sin) const override {
    const std::int64_t pairs = std::ssize(inverse_frequencies);
    pool_->ParallelFor(count, 64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto position = static_cast<float>(first + i);
        for (std::int64_t j = 0; j < pairs; ++j) {
          const float angle = position * inverse_frequencies[static_cast<std::size_t>(j)];
          cos[i * pairs + j] = std::cos(angle) * scale;
          sin[i * pairs + j] = std::sin(angle) * scale;
        }
      }
    });
  }

  void Rope(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
            const float* cos, const float* sin, std::int64_t rotary_dim) const override {
    kernels::Rope(x, tokens, heads, head_dim, heads * head_dim, cos, sin, rotary_dim, *pool_);
  }

  void StoreHeads(const float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
                  float* cache, std::int64_t capacity, std::int64_t position) const override {
    const auto row_bytes = static_cast<std::size_t>(head_dim) * sizeof(float);
    const std::int64_t grain = std::max<std::int64_t>(1, kInlineFloats / (tokens * head_dim));
    pool_->ParallelFor(heads, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t head = begin; head < end; ++head) {
        float* out = cache + (head * capacity + position) * head_dim;
        for (std::int64_t t = 0; t < tokens; ++t) {
          std::memcpy(out + t * head_dim, x + (t * heads + head) * head_dim, row_bytes);
        }
      }
    });
  }

  void CopyCache(const float* from, std::int64_t from_capacity, float* to, std::int64_t to_capacity,
                 std::int64_t heads, std::int64_t head_dim, std::int64_t length) const override {
    for (std::int64_t head = 0; head < heads; ++head) {
      std::copy_n(from + head * from_capacity * head_dim, length * head_dim,
                  to + head * to_capacity * head_dim);
    }
  }

  void Attention(const kernels::AttentionArgs& args, std::span<std::byte> scratch) const override {
    kernels::Attention(args, scratch, *pool_);
  }

 private:
  std::shared_ptr<ThreadPool> pool_;
};

}  // namespace

std::size_t CpuScratchBytes(const ArchitectureConfig& config, std::int64_t max_rows, int threads) {
  const std::int64_t widest =
      std::max({config.hidden_size, config.intermediate_size, config.num_heads * config.head_dim});
  return std::max(kernels::MatMulScratchBytes(max_rows, widest, threads),
                  kernels::AttentionScratchBytes(max_rows, config.num_heads, config.num_kv_heads,
                                                 config.head_dim, threads));
}

std::unique_ptr<const Ops> MakeCpuOps(std::shared_ptr<ThreadPool> pool) {
  return std::make_unique<CpuOps>(std::move(pool));
}

}  // namespace mdsa::engine
