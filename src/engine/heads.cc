#include "engine/heads.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"

namespace mdsa::engine {
void CopyToHost(const Ops& ops, const float* data, std::int64_t n, float* out) {
  std::vector<float> staging;
  std::ranges::copy(ops.ToHost(data, n, staging), out);
}

Status LanguageLogits(const Runner& runner, const Workspace& workspace, std::int64_t rows,
                      float* out) {
  const Ops& ops = runner.ops();
  const Linear& head = *runner.heads().language_model;
  const std::int64_t vocab = head.weight.rows;
  MDSA_ASSIGN(auto logits, ops.Allocate(std::min(rows, kLogitRows) * vocab));
  for (std::int64_t row = 0; row < rows; row += kLogitRows) {
    const std::int64_t n = std::min(kLogitRows, rows - row);
    ops.MatMul(workspace.hidden + row * head.weight.cols, n, std::array{head.To(logits->data)},
               workspace.scratch);
    CopyToHost(ops, logits->data, n * vocab, out + row * vocab);
  }
  return {};
}

Status PooledOutputs(const Runner& runner, std::span<const std::int64_t> lengths, const Pass& pass,
                     Workspace& workspace, Tensor* pooled, Tensor* label_scores) {
  const Heads& heads = runner.heads();
  if (!heads.pooler) return {};
  const Ops& ops = runner.ops();
  const std::int64_t hidden = runner.config().hidden_size;
  std::vector<std::int64_t> first_rows;
  std::int64_t row = 0;
  for (std::int64_t i = 0; i < pass.sequences; ++i) {
    first_rows.push_back(row);
    row += lengths[static_cast<std::size_t>(pass.first_sequence + i)];
  }
  ops.Gather(workspace.hidden, hidden, first_rows, workspace.normed);
  ops.MatMul(workspace.normed, pass.sequences, std::array{heads.pooler->To(workspace.query)},
             workspace.scratch);
  ops.Activate(kernels::Activation::kTanh, workspace.query, pass.sequences * hidden);
  if (pooled != nullptr) {
    CopyToHost(ops, workspace.query, pass.sequences * hidden,
               pooled->values.data() + pass.first_sequence * hidden);
  }
  if (label_scores != nullptr) {
    const std::int64_t labels = heads.classifier->weight.rows;
    MDSA_ASSIGN(auto scores, ops.Allocate(pass.sequences * labels));
    ops.MatMul(workspace.query, pass.sequences, std::array{heads.classifier->To(scores->data)},
               workspace.scratch);
    CopyToHost(ops, scores->data, pass.sequences * labels,
               label_scores->values.data() + pass.first_sequence * labels);
  }
  return {};
}

}  // namespace mdsa::engine
