// A model family: the tensors it has and the forward pass over them. Families register in the table
// of family.cc; adding one touches this folder only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/function_ref.h"
#include "engine/kv_cache.h"
#include "engine/load.h"
#include "engine/ops.h"
#include "engine/weight_store.h"
#include "engine/workspace.h"
#include "formats/architecture_config.h"

namespace mdsa::engine {

// The rows of one sequence in a pass. They continue after cache->length() positions.
struct SequenceRows {
  std::int64_t rows = 0;
  // Written by the pass; the caller advances it. Sequences may share a cache of one layer that is
  // never advanced.
  KvCache* cache = nullptr;
  const std::uint8_t* key_mask = nullptr;  // [cache->length() + rows], 0 hides a key; or null
};

// Sequences of any lengths, packed one after another without padding. Never owns.
struct RowBatch {
  std::span<const TokenId> ids;       // [rows of all sequences]; each in [0, vocab_size)
  std::span<const TokenId> type_ids;  // the same, or empty: zeros; each in [0, type_vocab_size)
  std::span<const SequenceRows> sequences;
  // Tokens of the longest sequence once it is complete; dynamic rope scaling depends on it.
  std::int64_t full_length = 0;
};

// A forward pass bound to one model's weights. Immutable and thread-safe.
class Network {
 public:
  virtual ~Network() = default;
  // Runs all layers; the final hidden states [rows, hidden_size] are left in workspace.hidden.
  // Caches have room for their new rows.
  virtual void Run(const Ops& ops, const RowBatch& batch, Workspace& workspace) const = 0;
};

// Enumerates specs; stops early when the callback returns false.
class SpecVisitor {
 public:
  explicit SpecVisitor(FunctionRef<bool(const TensorSpec&)> callback) : callback_(callback) {}
  bool stopped() const { return stopped_; }

  void Matrix(std::string name, std::int64_t rows, std::int64_t cols, TensorRole role,
              bool required = true) {
    Visit({std::move(name), {rows, cols}, role, required});
  }
  void Vector(std::string name, std::int64_t dim, bool required = true) {
    Visit({std::move(name), {dim}, TensorRole::kVector, required});
  }
  // `name`.weight [rows, cols] and, if asked for, `name`.bias [rows].
  void LinearLayer(const std::string& name, std::int64_t rows, std::int64_t cols, bool bias,
                   bool required = true) {
    Matrix(name + ".weight", rows, cols, TensorRole::kLinear, required);
    if (bias) Vector(name + ".bias", rows, required);
  }
  // `name`.weight and `name`.bias [dim].
  void LayerNorm(const std::string& name, std::int64_t dim) {
    Vector(name + ".weight", dim);
    Vector(name + ".bias", dim);
  }

 private:
  void Visit(const TensorSpec& spec) {
    if (!stopped_) stopped_ = !callback_(spec);
  }

  FunctionRef<bool(const TensorSpec&)> callback_;
  bool stopped_ = false;
};

struct Family {
  ModelFamily id;
  std::string_view prefix;  // of its tensors in checkpoints of models with a head
  void (*visit)(const ArchitectureConfig& config, SpecVisitor& visitor);
  std::unique_ptr<const Network> (*make)(const ArchitectureConfig& config,
                                         const WeightStore& weights);
};

const Family& FamilyOf(ModelFamily id);

extern const Family kBertFamily;
extern const Family kLlamaFamily;
extern const Family kPhiFamily;

}  // namespace mdsa::engine
