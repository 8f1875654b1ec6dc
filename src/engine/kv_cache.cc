#include "engine/kv_cache.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace mdsa::engine {
namespace {

// First capacity: a short chat turn needs no growth, and an idle session costs little.
constexpr std::int64_t kInitialCapacity = 128;

}  // namespace

KvCache::KvCache(const Ops& ops, std::int64_t layers, std::int64_t kv_heads, std::int64_t head_dim,
                 std::int64_t max_tokens)
    : ops_(ops),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      max_tokens_(max_tokens),
      layers_(static_cast<std::size_t>(layers)) {}

Status KvCache::Reserve(std::int64_t tokens) {
  if (tokens <= capacity_) return {};
  if (tokens > max_tokens_) {
    return Err(ErrorCode::kResourceExhausted, "{} tokens do not fit a cache of at most {}", tokens,
               max_tokens_);
  }
  std::int64_t capacity = std::max(capacity_, kInitialCapacity);
  while (capacity < tokens) capacity *= 2;
  capacity = std::min(capacity, max_tokens_);

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
