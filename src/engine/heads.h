// From hidden states to what a caller asked for: logits of the next token, pooled vectors, label
// scores.
#pragma once

#include <cstdint>
#include <span>

#include "engine/runner.h"
#include "mdsa/model.h"
#include "mdsa/result.h"

namespace mdsa::engine {

// `n` floats of device memory to `out` on the host.
void CopyToHost(const Ops& ops, const float* data, std::int64_t n, float* out);

// Logits of the first `rows` rows of workspace.hidden to out [rows, vocab_size] on the host.
Status LanguageLogits(const Runner& runner, const Workspace& workspace, std::int64_t rows,
                      float* out);

// BERT's pooler, tanh(dense(first token)), and the classifier over it, for the sequences of a pass.
// `lengths` are those of all sequences of the call. Fills rows pass.first_sequence... of `pooled`
// [sequences, hidden_size] and `label_scores` [sequences, num_labels]; either may be null. Does
// nothing for a model without a pooler.
Status PooledOutputs(const Runner& runner, std::span<const std::int64_t> lengths, const Pass& pass,
                     Workspace& workspace, Tensor* pooled, Tensor* label_scores);

}  // namespace mdsa::engine
