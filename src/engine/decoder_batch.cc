#include "engine/decoder_batch.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/checked_math.h"
#include "base/error.h"

namespace mdsa::engine {

Result<DecoderBatch> DecoderBatch::Create(const Runner& runner, std::int64_t sequences,
                                          std::int64_t max_rows) {
  const Ops& ops = runner.ops();
  MDSA_ASSIGN(Workspace workspace,
              Workspace::Create(ops, runner.config(), std::min(max_rows, kMaxPassRows)));
  const auto floats = CheckedMul(sequences, runner.config().vocab_size);
  if (!floats) return Err(ErrorCode::kResourceExhausted, "{} sequences are too many", sequences);
  MDSA_ASSIGN(auto logits, ops.Allocate(*floats));
  return DecoderBatch(runner, sequences, std::move(workspace), std::move(logits));
}

void DecoderBatch::Open(std::size_t index, std::int64_t max_tokens) {
  caches_[index].emplace(runner_.MakeCache(runner_.config().num_layers, max_tokens));
}

Result<std::span<const float>> DecoderBatch::Append(std::span<const Step> steps,
                                                    const std::stop_token& stop) {
  std::int64_t full_length = 0;
  for (const Step& step : steps) {
    KvCache& cache = *caches_[step.sequence];
    const std::int64_t length = cache.length() + std::ssize(step.ids);
    MDSA_TRY(cache.Reserve(length));
    full_length = std::max(full_length, length);
  }
  std::size_t done = 0;  // tokens of steps[next] that earlier passes took
  for (std::size_t next = 0; next < steps.size();) {
    if (stop.stop_requested()) return Err(ErrorCode::kCancelled, "the generation was cancelled");
    ids_.clear();
    rows_.clear();
    parts_.clear();
    auto room = static_cast<std::size_t>(workspace_.max_rows());
    while (next < steps.size() && room > 0) {
      const Step& step = steps[next];
      const std::size_t count = std::min(room, step.ids.size() - done);
      const std::span<const TokenId> ids = step.ids.subspan(done, count);
      ids_.insert(ids_.end(), ids.begin(), ids.end());
      rows_.push_back({std::ssize(ids), &*caches_[step.sequence], nullptr});
      parts_.push_back({next, done + count == step.ids.size()});
      room -= count;
      done += count;
      if (done < step.ids.size()) break;
      done = 0;
      ++next;
    }
    RunPass(full_length);
  }
  return runner_.ops().ToHost(logits_->data, std::ssize(steps) * runner_.config().vocab_size,
                              staging_);
}

void DecoderBatch::RunPass(std::int64_t full_length) {
  const Ops& ops = runner_.ops();
  RowBatch batch;
  batch.ids = ids_;
  batch.sequences = rows_;
  batch.full_length = full_length;
  runner_.network().Run(ops, batch, workspace_);

  const Linear& head = *runner_.heads().language_model;
  std::int64_t end = 0;  // rows of the parts so far
  for (std::size_t i = 0; i < parts_.size();) {
    rows_[i].cache->Advance(rows_[i].rows);
    end += rows_[i].rows;
    if (!parts_[i].completes) {
      ++i;
      continue;
    }
    // Last rows that lie side by side, as those of decoding do, are one product.
    const std::int64_t first = end - 1;
    const std::size_t first_part = i++;
    while (i < parts_.size() && parts_[i].completes && rows_[i].rows == 1) {
      rows_[i].cache->Advance(1);
      ++end;
      ++i;
    }
    float* const logits =
        logits_->data + static_cast<std::int64_t>(parts_[first_part].step) * head.weight.rows;
    ops.MatMul(workspace_.hidden + first * head.weight.cols, end - first,
               std::array{head.To(logits)}, workspace_.scratch);
  }
}

}  // namespace mdsa::engine
