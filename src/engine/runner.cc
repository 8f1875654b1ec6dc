#include "engine/runner.h"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "base/checked_math.h"
#include "base/error.h"
#include "engine/rope.h"

namespace mdsa::engine {
namespace {

ModelDescription Describe(const Runner::Parts& parts, std::int64_t context_length) {
  const ArchitectureConfig& config = parts.config;
  ModelDescription description;
  description.family = ModelFamilyName(config.family);
  description.architecture = config.architecture;
  description.parameters = parts.weights.parameters();
  description.hidden_size = config.hidden_size;
  description.vocab_size = config.vocab_size;
  description.num_layers = config.num_layers;
  description.context_length =
      parts.max_length > 0 ? std::min(parts.max_length, context_length) : context_length;
  description.quantization = QuantizationTypeName(parts.quantization);
  if (config.head == ModelHead::kSequenceClassification) description.labels = config.labels;
  description.weight_bytes = parts.weights.bytes();
  description.can_generate = config.head == ModelHead::kCausalLm;
  return description;
}

Heads FindHeads(const ArchitectureConfig& config, const WeightStore& weights) {
  Heads heads;
  if (config.head == ModelHead::kCausalLm) {
    heads.language_model = Linear{
        weights.Matrix(config.tie_word_embeddings ? "embed_tokens.weight" : "lm_head.weight"),
        weights.Vector("lm_head.bias")};
  }
  if (config.family == ModelFamily::kBert && weights.Has("pooler.dense.weight")) {
    heads.pooler = weights.LinearOf("pooler.dense");
  }
  if (config.head == ModelHead::kSequenceClassification) {
    heads.classifier = weights.LinearOf("classifier");
  }
  return heads;
}

Status CheckStop(const std::stop_token& stop) {
  if (!stop.stop_requested()) return {};
  return Err(ErrorCode::kCancelled, "the call was cancelled");
}

}  // namespace

Runner::Runner(Parts parts)
    : parts_(std::move(parts)),
      context_length_(ContextLength(parts_.config)),
      description_(Describe(parts_, context_length_)),
      heads_(FindHeads(parts_.config, parts_.weights)),
      network_(FamilyOf(parts_.config.family).make(parts_.config, parts_.weights)) {}

Status Runner::CheckIds(std::span<const TokenId> ids, std::int64_t size, std::string_view what) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= size) {
      return Err(ErrorCode::kInvalidArgument, "{}[{}] is {}; valid are 0 to {}", what, i, ids[i],
                 size - 1);
    }
  }
  return {};
}

std::int64_t Runner::text_length_limit() const {
  return CallLength(config(), pooling(), parts_.max_length);
}

CallMemory Runner::call_memory() const {
  return CallMemory(
      config(), [this](std::int64_t max_rows) { return ops().ScratchBytes(config(), max_rows); });
}

Status Runner::RunSequences(const SequenceInputs& inputs, PassSink sink,
                            const std::stop_token& stop) const {
  if (inputs.lengths.empty()) return {};
  const std::int64_t longest = std::ranges::max(inputs.lengths);
  const std::int64_t most = PassRows(config(), longest);
  MDSA_ASSIGN(Workspace workspace,
              Workspace::Create(ops(), config(), std::min(most, std::ssize(inputs.ids))));
  KvCache shared = MakeCache(1, std::min(longest, most));
  MDSA_TRY(shared.Reserve(std::min(longest, most)));

  std::vector<SequenceRows> sequences;
  Pass pass;
  while (pass.first_sequence < std::ssize(inputs.lengths)) {
    sequences.clear();
    pass.rows = 0;
    RowBatch batch;
    for (std::size_t s = static_cast<std::size_t>(pass.first_sequence); s < inputs.lengths.size();
         ++s) {
      const std::int64_t length = inputs.lengths[s];
      if (!sequences.empty() && pass.rows + length > most) break;
      if (inputs.max_sequences > 0 && std::ssize(sequences) == inputs.max_sequences) break;
      const std::int64_t row = pass.first_row + pass.rows;
      sequences.push_back(
          {length, &shared, inputs.key_mask.empty() ? nullptr : inputs.key_mask.data() + row});
      batch.full_length = std::max(batch.full_length, length);
      pass.rows += length;
    }
    pass.sequences = std::ssize(sequences);
    if (pass.rows > most) {
      MDSA_TRY(RunChunks(inputs, pass, workspace, sink, stop));
    } else {
      const auto first = static_cast<std::size_t>(pass.first_row);
      const auto rows = static_cast<std::size_t>(pass.rows);
      batch.ids = inputs.ids.subspan(first, rows);
      if (!inputs.type_ids.empty()) batch.type_ids = inputs.type_ids.subspan(first, rows);
      batch.sequences = sequences;
      MDSA_TRY(CheckStop(stop));
      network().Run(ops(), batch, workspace);
      MDSA_TRY(sink(pass, workspace));
    }
    pass.first_row += pass.rows;
    pass.first_sequence += pass.sequences;
  }
  return {};
}

// One sequence of a decoder that is longer than a pass.
Status Runner::RunChunks(const SequenceInputs& inputs, const Pass& sequence, Workspace& workspace,
                         PassSink sink, const std::stop_token& stop) const {
  KvCache cache = MakeCache(config().num_layers, sequence.rows);
  MDSA_TRY(cache.Reserve(sequence.rows));
  for (std::int64_t done = 0; done < sequence.rows; done += workspace.max_rows()) {
    Pass part = sequence;
    part.first_row = sequence.first_row + done;
    part.rows = std::min(workspace.max_rows(), sequence.rows - done);
    const SequenceRows rows = {
        part.rows, &cache,
        inputs.key_mask.empty() ? nullptr : inputs.key_mask.data() + sequence.first_row};
    RowBatch batch;
    batch.ids = inputs.ids.subspan(static_cast<std::size_t>(part.first_row),
                                   static_cast<std::size_t>(part.rows));
    batch.sequences = {&rows, 1};
    batch.full_length = sequence.rows;
    MDSA_TRY(CheckStop(stop));
    network().Run(ops(), batch, workspace);
    cache.Advance(part.rows);
    MDSA_TRY(sink(part, workspace));
  }
  return {};
}

Result<Tensor> MakeTensor(std::vector<std::int64_t> shape) {
  const auto elements = CheckedProduct(shape);
  Tensor tensor;
  tensor.shape = std::move(shape);
  if (elements && static_cast<std::size_t>(*elements) <= tensor.values.max_size()) {
    // The standard library reports a refused allocation by exception only.
    try {
      tensor.values.resize(static_cast<std::size_t>(*elements));
      return tensor;
    } catch (const std::bad_alloc&) {
    }
  }
  return Err(ErrorCode::kResourceExhausted,
             "the result does not fit into memory; pass fewer or shorter sequences");
}

}  // namespace mdsa::engine
