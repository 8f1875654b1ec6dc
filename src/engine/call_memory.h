// What calls take beside the weights. The one place that knows: calls are charged by it before they
// allocate, and estimates are made by it before there is a model.
//
// All sizes are bytes at the peak of the call, results included; absurd ones saturate (see
// base/byte_count.h). Small change is left out: some kilobytes a call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include "formats/architecture_config.h"
#include "formats/pooling_config.h"
#include "mdsa/model.h"

namespace mdsa::engine {

// Rows of one pass: enough to share the decoding of weights among them, few enough that scratch
// memory stays far below the weights of a large model.
inline constexpr std::int64_t kMaxPassRows = 512;
// Rows of logits that Forward computes at a time: bounds the memory to this many vocabularies.
inline constexpr std::int64_t kLogitRows = 32;
// Sequences that are decoded together; further ones take the places of those that end.
inline constexpr std::int64_t kMaxSequences = 32;

// Most rows of a pass over sequences of up to `longest` tokens. A decoder can leave off anywhere;
// an encoder sees a sequence as a whole.
std::int64_t PassRows(const ArchitectureConfig& config, std::int64_t longest);

// Tokens of the longest sequence of a call: the model's context, capped by `max_length` (0: not)
// and by what the checkpoint of an encoder declares for texts.
std::int64_t CallLength(const ArchitectureConfig& config,
                        const std::optional<PoolingConfig>& pooling, std::int64_t max_length);

// Tokens of one sequence of a generation.
struct GenerationLength {
  std::int64_t prompt = 0;
  std::int64_t most_new = 0;  // at least 1
};

// Texts of one call of Embed or Classify. Their tokens need not be known: bounds do.
struct TextAmount {
  std::int64_t texts = 0;
  std::int64_t tokens = 0;         // of all texts
  std::int64_t longest = 0;        // tokens of the longest
  std::int64_t longest_bytes = 0;  // of the longest text itself
};

// What tokenizing a text takes while it lasts, beside the ids.
std::uint64_t TokenizingBytes(std::uint64_t text_bytes);

// Thread-compatible.
class CallMemory {
 public:
  // `scratch_bytes` is Ops::ScratchBytes of this model. `config` must outlive the object.
  CallMemory(const ArchitectureConfig& config,
             std::function<std::size_t(std::int64_t max_rows)> scratch_bytes)
      : config_(config), scratch_bytes_(std::move(scratch_bytes)) {}

  // A workspace of that many rows.
  std::uint64_t WorkspaceOf(std::int64_t max_rows) const;
  // Runner::RunSequences over so many tokens in all: the workspace, and keys and values.
  std::uint64_t Passes(std::int64_t tokens, std::int64_t longest) const;

  std::uint64_t Forward(std::int64_t batch, std::int64_t tokens) const;
  std::uint64_t Texts(const TextAmount& amount) const;
  // `options` are checked.
  std::uint64_t Generate(std::span<const GenerationLength> sequences,
                         const GenerationOptions& options) const;

  // One call of ordinary size. A decoder: one sequence of `length` tokens, sampled, whose prompt
  // fills a pass (a bare decoder: its forward pass). An encoder: `batch_size` texts of `length`
  // tokens.
  std::uint64_t Ordinary(std::int64_t length, std::int64_t batch_size) const;

 private:
  // [rows, width] floats on the heap.
  std::uint64_t FloatsOnHeap(std::int64_t rows, std::int64_t width) const;

  const ArchitectureConfig& config_;
  std::function<std::size_t(std::int64_t)> scratch_bytes_;
};

}  // namespace mdsa::engine
