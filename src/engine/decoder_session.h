// One sequence being continued: its cache and the scratch memory that every step reuses.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/runner.h"
#include "engine/workspace.h"
#include "mdsa/result.h"

namespace mdsa::engine {

// Allocates when it is made, for the prompt, and when the cache grows; no step in between does.
// Not thread-safe.
class DecoderSession {
 public:
  // At most `max_tokens` tokens in all, at most `max_step` at once without being cut in chunks.
  // `runner` generates and outlives the session.
  static Result<DecoderSession> Create(const Runner& runner, std::int64_t max_tokens,
                                       std::int64_t max_step);

  // Appends tokens (at least one, ids checked) and returns the logits [vocab_size] behind the last
  // one, valid until the next call. kCancelled if `stop` is requested between chunks.
  Result<std::span<const float>> Append(std::span<const TokenId> ids, const std::stop_token& stop);

  std::int64_t length() const { return cache_.length(); }

 private:
  DecoderSession(const Runner& runner, KvCache cache, Workspace workspace,
                 std::unique_ptr<DeviceMemory> logits)
      : runner_(runner),
        cache_(std::move(cache)),
        workspace_(std::move(workspace)),
        logits_(std::move(logits)) {}

  const Runner& runner_;
  KvCache cache_;
  Workspace workspace_;
  std::unique_ptr<DeviceMemory> logits_;  // [vocab_size]
  std::vector<float> staging_;
};

}  // namespace mdsa::engine
