// Scratch memory of forward passes: allocated once for a number of rows, reused by every layer and
// every call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/ops.h"
#include "formats/architecture_config.h"
#include "mdsa/result.h"

namespace mdsa::engine {

// Every array but `scratch` is [max_rows, ...] in device memory. Not thread-safe; one per running
// call.
class Workspace {
 public:
  // kResourceExhausted if the memory is refused; a pass with the workspace allocates nothing.
  static Result<Workspace> Create(const Ops& ops, const ArchitectureConfig& config,
                                  std::int64_t max_rows);

  // What a workspace takes whose Ops::ScratchBytes are `scratch_bytes`.
  static std::uint64_t Bytes(const ArchitectureConfig& config, std::int64_t max_rows,
                             std::size_t scratch_bytes);

  std::int64_t max_rows() const { return max_rows_; }

  float* hidden = nullptr;         // [hidden_size]; after a pass: the final hidden states
  float* normed = nullptr;         // [hidden_size]; also takes the outputs of sub-layers
  float* query = nullptr;          // [num_heads * head_dim]
  float* key = nullptr;            // [num_kv_heads * head_dim]
  float* value = nullptr;          // [num_kv_heads * head_dim]
  float* attention = nullptr;      // [num_heads * head_dim]
  float* gate = nullptr;           // [intermediate_size]
  float* up = nullptr;             // [intermediate_size]; llama only, else null
  float* cos = nullptr;            // [rotary_dim / 2]
  float* sin = nullptr;            // [rotary_dim / 2]
  std::span<std::byte> scratch;    // [Ops::ScratchBytes], for MatMul and Attention
  std::vector<TokenId> positions;  // host; learned positions only

 private:
  std::int64_t max_rows_ = 0;
  std::unique_ptr<DeviceMemory> memory_;
};

}  // namespace mdsa::engine
