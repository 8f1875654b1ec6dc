// Everything a loaded model computes with: weights, network, device and limits.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <utility>
#include <vector>

#include "base/function_ref.h"
#include "base/memory_account.h"
#include "engine/call_memory.h"
#include "engine/family.h"
#include "engine/kv_cache.h"
#include "engine/ops.h"
#include "engine/weight_store.h"
#include "engine/workspace.h"
#include "formats/architecture_config.h"
#include "formats/pooling_config.h"
#include "mdsa/model.h"

namespace mdsa::engine {

// Output layers, which all families name alike; absent ones are nullopt.
struct Heads {
  std::optional<Linear> language_model;
  std::optional<Linear> pooler;
  std::optional<Linear> classifier;
};

// Sequences of a call, packed one after another without padding. Never owns.
struct SequenceInputs {
  std::span<const TokenId> ids;
  std::span<const TokenId> type_ids;       // as ids, or empty: zeros
  std::span<const std::uint8_t> key_mask;  // as ids, 0 hides a key; or empty
  std::span<const std::int64_t> lengths;   // of each sequence, at least 1
  std::int64_t max_sequences = 0;          // of one pass; 0: as many as fit
};

// What one forward pass covered: whole sequences, or a part of a single long one.
struct Pass {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::int64_t first_sequence = 0;
  std::int64_t sequences = 0;
};
// The hidden states of the pass are in workspace.hidden; the rest of it may be used as scratch.
using PassSink = FunctionRef<Status(const Pass& pass, Workspace& workspace)>;

// Immutable and thread-safe: every call makes its own workspace and cache.
class Runner {
 public:
  struct Parts {
    ArchitectureConfig config;
    std::optional<PoolingConfig> pooling;
    WeightStore weights;
    std::unique_ptr<const Ops> ops;
    std::shared_ptr<MemoryAccount> account;  // pays for calls; may be null
    QuantizationType quantization = QuantizationType::kNone;
    std::int64_t max_length = 0;
    std::int64_t batch_size = 1;
  };
  explicit Runner(Parts parts);

  const ArchitectureConfig& config() const { return parts_.config; }
  const std::optional<PoolingConfig>& pooling() const { return parts_.pooling; }
  const ModelDescription& description() const { return description_; }
  const Ops& ops() const { return *parts_.ops; }
  const Network& network() const { return *network_; }
  const Heads& heads() const { return heads_; }
  std::int64_t batch_size() const { return parts_.batch_size; }
  // Tokens that the architecture has positions for.
  std::int64_t context_length() const { return context_length_; }
  // The same, capped by max_length.
  std::int64_t length_limit() const { return description_.context_length; }
  // The same, capped by the length that the encoder's checkpoint declares for texts.
  std::int64_t text_length_limit() const;
  // To ask at the start of each call: kFailedPrecondition if the checkpoint under mapped weights
  // was changed.
  Status CheckWeights() const { return parts_.weights.CheckUnchanged(); }
  // Weights and tables, those that lie in the mapped checkpoint included.
  std::size_t memory_bytes() const { return parts_.weights.memory_bytes() + sizeof(Runner); }
  std::size_t mapped_bytes() const { return parts_.weights.mapped_bytes(); }

  CallMemory call_memory() const;
  // Pays for what a call takes at its peak. To be called once a call, before anything large is
  // allocated, and kept longer than that. Errors are the account's.
  Result<MemoryCharge> Charge(std::uint64_t bytes, std::stop_token stop) const {
    return MemoryCharge::Take(parts_.account, bytes, std::move(stop));
  }

  KvCache MakeCache(std::int64_t layers, std::int64_t max_tokens) const {
    return {ops(), layers, config().num_kv_heads, config().head_dim, max_tokens};
  }

  // kInvalidArgument unless every id is in [0, size); `what` names the ids.
  static Status CheckIds(std::span<const TokenId> ids, std::int64_t size, std::string_view what);

  // Runs complete sequences in passes of about kMaxPassRows rows and hands each pass to `sink`, in
  // order; stops at its first error. kCancelled if `stop` is requested before a pass.
  Status RunSequences(const SequenceInputs& inputs, PassSink sink,
                      const std::stop_token& stop) const;

 private:
  Status RunChunks(const SequenceInputs& inputs, const Pass& sequence, Workspace& workspace,
                   PassSink sink, const std::stop_token& stop) const;

  Parts parts_;
  std::int64_t context_length_;
  ModelDescription description_;
  Heads heads_;
  std::unique_ptr<const Network> network_;
};

// A zeroed tensor; kResourceExhausted if it does not fit into memory.
Result<Tensor> MakeTensor(std::vector<std::int64_t> shape);

}  // namespace mdsa::engine
