#include "engine/kv_cache.h"

#include <algorithm>
#include <utility>

#include "base/byte_count.h"
#include "base/error.h"
#include "base/page_buffer.h"

namespace mdsa::engine {
namespace {

// First capacity: a short chat turn needs no growth, and an idle session costs little.
constexpr std::int64_t kInitialCapacity = 128;

// The capacity after Reserve(tokens) on a cache of `capacity`; tokens <= max_tokens.
std::int64_t GrownCapacity(std::int64_t capacity, std::int64_t tokens, std::int64_t max_tokens) {
  capacity = std::max(capacity, kInitialCapacity);
  while (capacity < tokens && capacity < max_tokens) capacity *= 2;
  return std::min(capacity, max_tokens);
}

}  // namespace

KvCache::KvCache(const Ops& ops, std::int64_t layers, std::int64_t kv_heads, std::int64_t head_dim,
                 std::int64_t max_tokens)
    : ops_(ops),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      max_tokens_(max_tokens),
      layers_(static_cast<std::size_t>(layers)) {}

KvCache::Peak KvCache::PeakOf(std::int64_t layers, std::int64_t kv_heads, std::int64_t head_dim,
                              std::int64_t tokens, std::int64_t max_tokens) {
  const auto layer_bytes = [&](std::int64_t capacity) {
    return PageBuffer::Footprint(
        ByteProduct({2, ToBytes(kv_heads), ToBytes(capacity), ToBytes(head_dim), sizeof(float)}));
  };
  Peak peak;
  std::int64_t capacity = GrownCapacity(0, tokens, max_tokens);
  while (capacity < max_tokens) {
    // The largest step is the last: a layer of the old size beside all of the new one.
    peak.growing = layer_bytes(capacity);
    capacity = GrownCapacity(capacity, capacity + 1, max_tokens);
  }
  peak.held = ByteProduct({ToBytes(layers), layer_bytes(capacity)});
  return peak;
}

Status KvCache::Reserve(std::int64_t tokens) {
  if (tokens <= capacity_) return {};
  if (tokens > max_tokens_) {
    return Err(ErrorCode::kResourceExhausted, "{} tokens do not fit a cache of at most {}", tokens,
               max_tokens_);
  }
  const std::int64_t capacity = GrownCapacity(capacity_, tokens, max_tokens_);

  // All layers are allocated before any changes hands, so a refusal leaves the cache as it was;
  // the pages of the new ones cost nothing until the copy below writes them.
  std::vector<std::unique_ptr<DeviceMemory>> grown(layers_.size());
  for (auto& memory : grown) {
    MDSA_ASSIGN(memory, ops_.Allocate(2 * kv_heads_ * capacity * head_dim_));
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (layers_[i] != nullptr && length_ > 0) {
      ops_.CopyCache(layers_[i]->data, capacity_, grown[i]->data, capacity, 2 * kv_heads_,
                     head_dim_, length_);
    }
    layers_[i] = std::move(grown[i]);
  }
  capacity_ = capacity;
  return {};
}

}  // namespace mdsa::engine
