// Phi 1, 1.5 and 2: decoder whose attention and MLP read the same normalized input and add to the
// residual together; rotary positions on a part of each head; biases everywhere.
#include <fmt/format.h>

#include <array>
#include <vector>

#include "engine/attention.h"
#include "engine/family.h"

namespace mdsa::engine {
namespace {

void VisitTensors(const ArchitectureConfig& config, SpecVisitor& visitor) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t query = config.num_heads * config.head_dim;
  const std::int64_t key = config.num_kv_heads * config.head_dim;
  visitor.Matrix("embed_tokens.weight", config.vocab_size, hidden, TensorRole::kEmbedding);
  for (std::int64_t i = 0; i < config.num_layers && !visitor.stopped(); ++i) {
    const std::string layer = fmt::format("layers.{}.", i);
    visitor.LayerNorm(layer + "input_layernorm", hidden);
    visitor.LinearLayer(layer + "self_attn.q_proj", query, hidden, true);
    visitor.LinearLayer(layer + "self_attn.k_proj", key, hidden, true);
    visitor.LinearLayer(layer + "self_attn.v_proj", key, hidden, true);
    visitor.LinearLayer(layer + "self_attn.dense", hidden, query, true);
    if (config.qk_layernorm) {
      visitor.LayerNorm(layer + "self_attn.q_layernorm", config.head_dim);
      visitor.LayerNorm(layer + "self_attn.k_layernorm", config.head_dim);
    }
    visitor.LinearLayer(layer + "mlp.fc1", config.intermediate_size, hidden, true);
    visitor.LinearLayer(layer + "mlp.fc2", hidden, config.intermediate_size, true);
  }
  visitor.LayerNorm("final_layernorm", hidden);
  if (config.head == ModelHead::kCausalLm) {
    if (!config.tie_word_embeddings) {
      visitor.Matrix("lm_head.weight", config.vocab_size, hidden, TensorRole::kHead);
    }
    visitor.Vector("lm_head.bias", config.vocab_size);
  }
}

struct Layer {
  Norm input_norm;
  Linear query, key, value, output;
  Norm query_norm, key_norm;  // null weights without qk_layernorm
  Linear up, down;
};

class PhiNetwork final : public Network {
 public:
  PhiNetwork(const ArchitectureConfig& config, const WeightStore& weights)
      : config_(config),
        rotary_(config),
        embedding_(weights.Matrix("embed_tokens.weight")),
        norm_(weights.NormOf("final_layernorm")) {
    for (std::int64_t i = 0; i < config.num_layers; ++i) {
      const std::string layer = fmt::format("layers.{}.", i);
      layers_.push_back({weights.NormOf(layer + "input_layernorm"),
                         weights.LinearOf(layer + "self_attn.q_proj"),
                         weights.LinearOf(layer + "self_attn.k_proj"),
                         weights.LinearOf(layer + "self_attn.v_proj"),
                         weights.LinearOf(layer + "self_attn.dense"),
                         weights.NormOf(layer + "self_attn.q_layernorm"),
                         weights.NormOf(layer + "self_attn.k_layernorm"),
                         weights.LinearOf(layer + "mlp.fc1"), weights.LinearOf(layer + "mlp.fc2")});
    }
  }

  void Run(const Ops& ops, const RowBatch& batch, Workspace& space) const override {
    const auto rows = static_cast<std::int64_t>(batch.ids.size());
    ops.LookUp(embedding_, batch.ids, space.hidden);
    rotary_.FillTables(ops, batch, space);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      RunLayer(ops, batch, static_cast<std::int64_t>(i), space);
    }
    Normalize(ops, space.hidden, rows, config_.hidden_size, norm_, space.hidden);
  }

 private:
  void Normalize(const Ops& ops, const float* x, std::int64_t rows, std::int64_t dim,
                 const Norm& norm, float* out) const {
    ops.LayerNorm(x, nullptr, rows, dim, norm.weight, norm.bias,
                  static_cast<float>(config_.norm_eps), out);
  }

  void RunLayer(const Ops& ops, const RowBatch& batch, std::int64_t index, Workspace& space) const {
    const Layer& layer = layers_[static_cast<std::size_t>(index)];
    const auto rows = static_cast<std::int64_t>(batch.ids.size());
    const std::int64_t hidden = config_.hidden_size;
    Normalize(ops, space.hidden, rows, hidden, layer.input_norm, space.normed);
    ops.MatMul(space.normed, rows,
               std::array{layer.query.To(space.query), layer.key.To(space.key),
                          layer.value.To(space.value), layer.up.To(space.gate)},
               space.scratch);
    if (config_.qk_layernorm) {
      Normalize(ops, space.query, rows * config_.num_heads, config_.head_dim, layer.query_norm,
                space.query);
      Normalize(ops, space.key, rows * config_.num_kv_heads, config_.head_dim, layer.key_norm,
                space.key);
    }
    rotary_.Rotate(ops, rows, space);
    AttendSequences(ops, config_, batch, index, /*causal=*/true, space);
    ops.MatMul(space.attention, rows, std::array{layer.output.To(space.normed)}, space.scratch);
    ops.Add(space.hidden, space.normed, rows * hidden);
    ops.Activate(KernelActivation(config_.activation), space.gate,
                 rows * config_.intermediate_size);
    ops.MatMul(space.gate, rows, std::array{layer.down.To(space.normed)}, space.scratch);
    ops.Add(space.hidden, space.normed, rows * hidden);
  }

  ArchitectureConfig config_;
  Rotary rotary_;
  kernels::WeightView embedding_;
  Norm norm_;
  std::vector<Layer> layers_;
};

std::unique_ptr<const Network> Make(const ArchitectureConfig& config, const WeightStore& weights) {
  return std::make_unique<PhiNetwork>(config, weights);
}

}  // namespace

const Family kPhiFamily = {ModelFamily::kPhi, "model.", VisitTensors, Make};

}  // namespace mdsa::engine
