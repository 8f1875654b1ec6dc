#include "engine/workspace.h"

#include <array>
#include <utility>

#include "base/checked_math.h"
#include "base/error.h"

namespace mdsa::engine {

Result<Workspace> Workspace::Create(const Ops& ops, const ArchitectureConfig& config,
                                    std::int64_t max_rows) {
  Workspace space;
  space.max_rows_ = max_rows;
  const std::int64_t query = config.num_heads * config.head_dim;
  const std::int64_t key = config.num_kv_heads * config.head_dim;
  const bool gated = config.family == ModelFamily::kLlama;
  struct Part {
    float** pointer;
    std::int64_t width;
  };
  const std::array parts = {
      Part{&space.hidden, config.hidden_size},
      Part{&space.normed, config.hidden_size},
      Part{&space.query, query},
      Part{&space.key, key},
      Part{&space.value, key},
      Part{&space.attention, query},
      Part{&space.gate, config.intermediate_size},
      Part{&space.up, gated ? config.intermediate_size : 0},
      Part{&space.cos, config.rotary_dim / 2},
      Part{&space.sin, config.rotary_dim / 2},
  };
  constexpr std::int64_t kAlignFloats = 16;  // one cache line
  const std::size_t scratch_bytes = ops.ScratchBytes(config, max_rows);
  std::int64_t total = CeilDiv(static_cast<std::int64_t>(scratch_bytes), sizeof(float));
  for (const Part& part : parts) {
    const auto floats = CheckedMul(max_rows, part.width);
    const auto sum = floats ? CheckedAdd(total, RoundUp(*floats, kAlignFloats)) : floats;
    if (!sum) {
      return Err(ErrorCode::kResourceExhausted, "scratch memory for {} rows exceeds 2^63",
                 max_rows);
    }
    total = *sum;
  }
  MDSA_ASSIGN(space.memory_, ops.Allocate(total));
  float* next = space.memory_->data;
  for (const Part& part : parts) {
    if (part.width == 0) continue;
    *part.pointer = next;
    next += RoundUp(max_rows * part.width, kAlignFloats);
  }
  space.scratch = {reinterpret_cast<std::byte*>(next), scratch_bytes};
  return space;
}

}  // namespace mdsa::engine
