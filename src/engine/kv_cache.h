// Keys and values of one sequence.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/ops.h"
#include "mdsa/result.h"

namespace mdsa::engine {

// One memory per layer, [2, kv_heads, capacity, head_dim]: keys, then values. Capacity grows by
// doubling, layer by layer, so that growing needs one layer's memory on top. With `layers` 1 all
// layers of a pass share one slot: enough when nothing is kept after the pass. Not thread-safe.
class KvCache {
 public:
  // `max_tokens` bounds the capacity. `ops` must outlive the cache.
  KvCache(const Ops& ops, std::int64_t layers, std::int64_t kv_heads, std::int64_t head_dim,
          std::int64_t max_tokens);

  // Makes room for `tokens` positions in all, keeping the first length(). kResourceExhausted beyond
  // max_tokens or when memory is refused.
  Status Reserve(std::int64_t tokens);

  // Bytes that a cache takes whose first Reserve is for `tokens` and that grows to max_tokens.
  struct Peak {
    std::uint64_t held = 0;     // in the end
    std::uint64_t growing = 0;  // beside that at most, while it grows
  };
  static Peak PeakOf(std::int64_t layers, std::int64_t kv_heads, std::int64_t head_dim,
                     std::int64_t tokens, std::int64_t max_tokens);

  float* keys(std::int64_t layer) { return slot(layer); }
  float* values(std::int64_t layer) { return slot(layer) + kv_heads_ * capacity_ * head_dim_; }

  std::int64_t capacity() const { return capacity_; }
  std::int64_t length() const { return length_; }
  // After a pass has stored `tokens` positions in every layer.
  void Advance(std::int64_t tokens) { length_ += tokens; }

 private:
  float* slot(std::int64_t layer) {
    return layers_[static_cast<std::size_t>(layer) % layers_.size()]->data;
  }

  const Ops& ops_;
  std::int64_t kv_heads_;
  std::int64_t head_dim_;
  std::int64_t max_tokens_;
  std::int64_t capacity_ = 0;
  std::int64_t length_ = 0;
  std::vector<std::unique_ptr<DeviceMemory>> layers_;
};

}  // namespace mdsa::engine
