#include "engine/decoder_session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"

namespace mdsa::engine {

Result<DecoderSession> DecoderSession::Create(const Runner& runner, std::int64_t max_tokens,
                                              std::int64_t max_step) {
  const Ops& ops = runner.ops();
  MDSA_ASSIGN(Workspace workspace,
              Workspace::Create(ops, runner.config(), std::min(max_step, kMaxPassRows)));
  MDSA_ASSIGN(auto logits, ops.Allocate(runner.config().vocab_size));
  return DecoderSession(runner, runner.MakeCache(runner.config().num_layers, max_tokens),
                        std::move(workspace), std::move(logits));
}

Result<std::span<const float>> DecoderSession::Append(std::span<const TokenId> ids,
                                                      const std::stop_token& stop) {
  const Ops& ops = runner_.ops();
  const auto chunk = static_cast<std::size_t>(workspace_.max_rows());
  const std::int64_t full_length = cache_.length() + std::ssize(ids);
  MDSA_TRY(cache_.Reserve(full_length));
  std::int64_t rows = 0;
  for (std::size_t first = 0; first < ids.size(); first += chunk) {
    if (stop.stop_requested()) return Err(ErrorCode::kCancelled, "the generation was cancelled");
    RowBatch batch;
    batch.ids = ids.subspan(first, std::min(chunk, ids.size() - first));
    rows = std::ssize(batch.ids);
    const SequenceRows sequence = {rows, &cache_, nullptr};
    batch.sequences = {&sequence, 1};
    batch.full_length = full_length;
    runner_.network().Run(ops, batch, workspace_);
    cache_.Advance(rows);
  }
  const Linear& head = *runner_.heads().language_model;
  ops.MatMul(workspace_.hidden + (rows - 1) * head.weight.cols, 1,
             std::array{head.To(logits_->data)}, workspace_.scratch);
  return ops.ToHost(logits_->data, head.weight.rows, staging_);
}

}  // namespace mdsa::engine
