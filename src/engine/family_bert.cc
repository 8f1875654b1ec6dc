// BERT encoders: learned positions, token types, attention over the whole sequence, and layer norms
// behind each residual sum.
#include <fmt/format.h>

#include <array>
#include <utility>
#include <vector>

#include "engine/attention.h"
#include "engine/family.h"

namespace mdsa::engine {
namespace {

void VisitTensors(const ArchitectureConfig& config, SpecVisitor& visitor) {
  const std::int64_t hidden = config.hidden_size;
  visitor.Matrix("embeddings.word_embeddings.weight", config.vocab_size, hidden,
                 TensorRole::kEmbedding);
  visitor.Matrix("embeddings.position_embeddings.weight", config.max_position_embeddings, hidden,
                 TensorRole::kEmbedding);
  visitor.Matrix("embeddings.token_type_embeddings.weight", config.type_vocab_size, hidden,
                 TensorRole::kEmbedding);
  visitor.LayerNorm("embeddings.LayerNorm", hidden);
  for (std::int64_t i = 0; i < config.num_layers && !visitor.stopped(); ++i) {
    const std::string layer = fmt::format("encoder.layer.{}.", i);
    visitor.LinearLayer(layer + "attention.self.query", hidden, hidden, true);
    visitor.LinearLayer(layer + "attention.self.key", hidden, hidden, true);
    visitor.LinearLayer(layer + "attention.self.value", hidden, hidden, true);
    visitor.LinearLayer(layer + "attention.output.dense", hidden, hidden, true);
    visitor.LayerNorm(layer + "attention.output.LayerNorm", hidden);
    visitor.LinearLayer(layer + "intermediate.dense", config.intermediate_size, hidden, true);
    visitor.LinearLayer(layer + "output.dense", hidden, config.intermediate_size, true);
    visitor.LayerNorm(layer + "output.LayerNorm", hidden);
  }
  const bool classifies = config.head == ModelHead::kSequenceClassification;
  visitor.LinearLayer("pooler.dense", hidden, hidden, true, /*required=*/classifies);
  if (classifies) visitor.LinearLayer("classifier", config.num_labels, hidden, true);
}

struct Layer {
  Linear query, key, value, output;
  Norm attention_norm;
  Linear up, down;
  Norm output_norm;
};

class BertNetwork final : public Network {
 public:
  BertNetwork(const ArchitectureConfig& config, const WeightStore& weights)
      : config_(config),
        words_(weights.Matrix("embeddings.word_embeddings.weight")),
        positions_(weights.Matrix("embeddings.position_embeddings.weight")),
        types_(weights.Matrix("embeddings.token_type_embeddings.weight")),
        embedding_norm_(weights.NormOf("embeddings.LayerNorm")) {
    for (std::int64_t i = 0; i < config.num_layers; ++i) {
      const std::string layer = fmt::format("encoder.layer.{}.", i);
      layers_.push_back({weights.LinearOf(layer + "attention.self.query"),
                         weights.LinearOf(layer + "attention.self.key"),
                         weights.LinearOf(layer + "attention.self.value"),
                         weights.LinearOf(layer + "attention.output.dense"),
                         weights.NormOf(layer + "attention.output.LayerNorm"),
                         weights.LinearOf(layer + "intermediate.dense"),
                         weights.LinearOf(layer + "output.dense"),
                         weights.NormOf(layer + "output.LayerNorm")});
    }
  }

  void Run(const Ops& ops, const RowBatch& batch, Workspace& space) const override {
    const auto rows = static_cast<std::int64_t>(batch.ids.size());
    Embed(ops, batch, space);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      ops.MatMul(space.hidden, rows,
                 std::array{layer.query.To(space.query), layer.key.To(space.key),
                            layer.value.To(space.value)},
                 space.scratch);
      AttendSequences(ops, config_, batch, static_cast<std::int64_t>(i), /*causal=*/false, space);
      ops.MatMul(space.attention, rows, std::array{layer.output.To(space.normed)}, space.scratch);
      AddAndNormalize(ops, rows, layer.attention_norm, space);
      ops.MatMul(space.hidden, rows, std::array{layer.up.To(space.gate)}, space.scratch);
      ops.Activate(KernelActivation(config_.activation), space.gate,
                   rows * config_.intermediate_size);
      ops.MatMul(space.gate, rows, std::array{layer.down.To(space.normed)}, space.scratch);
      AddAndNormalize(ops, rows, layer.output_norm, space);
    }
  }

 private:
  void Embed(const Ops& ops, const RowBatch& batch, Workspace& space) const {
    const auto rows = static_cast<std::int64_t>(batch.ids.size());
    ops.LookUp(words_, batch.ids, space.hidden);
    // One host array serves both look-ups: first the types, then the positions.
    std::vector<TokenId>& rows_of = space.positions;
    rows_of.assign(batch.ids.size(), 0);
    ops.LookUp(types_, batch.type_ids.empty() ? std::span<const TokenId>(rows_of) : batch.type_ids,
               space.normed);
    ops.Add(space.hidden, space.normed, rows * config_.hidden_size);
    std::size_t row = 0;
    for (const SequenceRows& sequence : batch.sequences) {
      for (std::int64_t i = 0; i < sequence.rows; ++i) {
        rows_of[row++] = static_cast<TokenId>(sequence.cache->length() + i);
      }
    }
    ops.LookUp(positions_, rows_of, space.normed);
    AddAndNormalize(ops, rows, embedding_norm_, space);
  }

  // hidden = norm(hidden + normed).
  void AddAndNormalize(const Ops& ops, std::int64_t rows, const Norm& norm,
                       Workspace& space) const {
    ops.LayerNorm(space.normed, space.hidden, rows, config_.hidden_size, norm.weight, norm.bias,
                  static_cast<float>(config_.norm_eps), space.normed);
    std::swap(space.hidden, space.normed);
  }

  ArchitectureConfig config_;
  kernels::WeightView words_, positions_, types_;
  Norm embedding_norm_;
  std::vector<Layer> layers_;
};

std::unique_ptr<const Network> Make(const ArchitectureConfig& config, const WeightStore& weights) {
  return std::make_unique<BertNetwork>(config, weights);
}

}  // namespace

const Family kBertFamily = {ModelFamily::kBert, "bert.", VisitTensors, Make};

}  // namespace mdsa::engine
