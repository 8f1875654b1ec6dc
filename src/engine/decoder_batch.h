// Sequences being continued together: a cache for each, and the scratch memory that every step
// reuses. One pass over the weights serves all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/runner.h"
#include "engine/workspace.h"
#include "mdsa/result.h"

namespace mdsa::engine {

// Allocates when it is made, when a sequence is opened or its cache grows; no step in between does.
// Not thread-safe.
class DecoderBatch {
 public:
  // New tokens of one sequence. Never owns.
  struct Step {
    std::size_t sequence = 0;      // open, and named once in a list of steps
    std::span<const TokenId> ids;  // at least one, checked
  };

  // Room for `sequences` of them, and for `max_rows` tokens of all in one pass: more run in
  // several. `runner` generates and outlives the batch.
  static Result<DecoderBatch> Create(const Runner& runner, std::int64_t sequences,
                                     std::int64_t max_rows);

  // Starts sequence `index` anew; it may get at most `max_tokens` tokens in all.
  void Open(std::size_t index, std::int64_t max_tokens);
  // Frees its cache.
  void Close(std::size_t index) { caches_[index].reset(); }
  std::int64_t length(std::size_t index) const { return caches_[index]->length(); }

  // Appends tokens and returns the logits [steps, vocab_size] behind the last token of each step,
  // valid until the next call. kCancelled if `stop` is requested between passes.
  Result<std::span<const float>> Append(std::span<const Step> steps, const std::stop_token& stop);

 private:
  DecoderBatch(const Runner& runner, std::int64_t sequences, Workspace workspace,
               std::unique_ptr<DeviceMemory> logits)
      : runner_(runner),
        caches_(static_cast<std::size_t>(sequences)),
        workspace_(std::move(workspace)),
        logits_(std::move(logits)) {}

  // Runs the pass that ids_, rows_ and parts_ describe, and the output head of completed steps.
  void RunPass(std::int64_t full_length);

  // The part of one step that is in a pass.
  struct Part {
    std::size_t step = 0;
    bool completes = false;
  };

  const Runner& runner_;
  std::vector<std::optional<KvCache>> caches_;
  Workspace workspace_;
  std::unique_ptr<DeviceMemory> logits_;  // [sequences, vocab_size]
  std::vector<float> staging_;
  std::vector<TokenId> ids_;
  std::vector<SequenceRows> rows_;
  std::vector<Part> parts_;
};

}  // namespace mdsa::engine
