// The forward passes once more, in double precision and plain loops, written from the papers'
// formulas and sharing no code with the engine.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "formats/architecture_config.h"
#include "mdsa/tokenizer.h"
#include "support/tiny_model.h"

namespace mdsa::testing {

using Rows = std::vector<std::vector<double>>;

struct ReferenceOutput {
  Rows hidden;  // [tokens, hidden_size], after the final norm
  Rows logits;  // [tokens, vocab_size] of a causal model, [1, labels] of a classifier, else empty
  std::vector<double> pooled;  // BERT
};

// One sequence. `mask` empty: no padding. Rope scaling other than none is not covered.
ReferenceOutput RunReference(const ArchitectureConfig& config, const TinyWeights& weights,
                             std::span<const TokenId> ids, std::span<const TokenId> type_ids = {},
                             std::span<const std::uint8_t> mask = {});

}  // namespace mdsa::testing
