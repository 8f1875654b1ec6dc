// What a forward pass asks of a device. Families are written against this interface only, so that
// another device needs an implementation of it and no change to any family.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "formats/architecture_config.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "mdsa/result.h"
#include "mdsa/tokenizer.h"

namespace mdsa::engine {

// Owns fp32 memory of a device, zeroed. `data` is an address on that device.
struct DeviceMemory {
  virtual ~DeviceMemory() = default;
  float* data = nullptr;
};

// Shapes and rules are those of kernels/ops.h and kernels/matmul.h unless a comment adds to them.
// Pointers to float and weights are device memory; spans of ids, positions and masks are host
// memory. Thread-safe.
class Ops {
 public:
  virtual ~Ops() = default;

  // kResourceExhausted if the device refuses.
  virtual Result<std::unique_ptr<DeviceMemory>> Allocate(std::int64_t floats) const = 0;
  // `n` floats as host memory: the memory itself where the host can read it, else a copy in
  // `staging`.
  virtual std::span<const float> ToHost(const float* data, std::int64_t n,
                                        std::vector<float>& staging) const = 0;

  // out [ids.size(), table.cols] = rows of the table. Every id is a row of it.
  virtual void LookUp(const kernels::WeightView& table, std::span<const TokenId> ids,
                      float* out) const = 0;
  // out [rows.size(), dim] = those rows of x [.., dim].
  virtual void Gather(const float* x, std::int64_t dim, std::span<const std::int64_t> rows,
                      float* out) const = 0;
  // Device memory that MatMul and Attention of this model need beside their operands, in passes of
  // up to `max_rows` rows. Aligned to 64 bytes; one call at a time may use it.
  virtual std::size_t ScratchBytes(const ArchitectureConfig& config,
                                   std::int64_t max_rows) const = 0;
  // x is [m, cols], contiguous.
  virtual void MatMul(const float* x, std::int64_t m, std::span<const kernels::MatMulTask> tasks,
                      std::span<std::byte> scratch) const = 0;
  virtual void RmsNorm(const float* x, std::int64_t rows, std::int64_t dim, const float* weight,
                       float eps, float* out) const = 0;
  virtual void LayerNorm(const float* x, const float* residual, std::int64_t rows, std::int64_t dim,
                         const float* weight, const float* bias, float eps, float* out) const = 0;
  virtual void Add(float* x, const float* y, std::int64_t n) const = 0;
  virtual void Activate(kernels::Activation activation, float* x, std::int64_t n) const = 0;
  virtual void ActivateAndMultiply(kernels::Activation activation, float* gate, const float* up,
                                   std::int64_t n) const = 0;
  // cos and sin [count, inverse_frequencies.size()] of the angles of positions first, first + 1...,
  // times `scale`.
  virtual void RopeTable(std::span<const float> inverse_frequencies, float scale,
                         std::int64_t first, std::int64_t count, float* cos, float* sin) const = 0;
  virtual void Rope(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
                    const float* cos, const float* sin, std::int64_t rotary_dim) const = 0;
  // Moves x [tokens, heads, head_dim] to positions [position, position + tokens) of a cache
  // [heads, capacity, head_dim].
  virtual void StoreHeads(const float* x, std::int64_t tokens, std::int64_t heads,
                          std::int64_t head_dim, float* cache, std::int64_t capacity,
                          std::int64_t position) const = 0;
  // Copies the first `length` positions of a cache to one of another capacity.
  virtual void CopyCache(const float* from, std::int64_t from_capacity, float* to,
                         std::int64_t to_capacity, std::int64_t heads, std::int64_t head_dim,
                         std::int64_t length) const = 0;
  // key_mask is host memory.
  virtual void Attention(const kernels::AttentionArgs& args,
                         std::span<std::byte> scratch) const = 0;
};

}  // namespace mdsa::engine
