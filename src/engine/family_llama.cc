// Llama and what is shaped like it: pre-norm decoder with RMS norms, rotary positions, grouped
// queries and a gated MLP.
#include <fmt/format.h>

#include <array>
#include <cmath>
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
    visitor.Vector(layer + "input_layernorm.weight", hidden);
    visitor.LinearLayer(layer + "self_attn.q_proj", query, hidden, config.attention_bias);
    visitor.LinearLayer(layer + "self_attn.k_proj", key, hidden, config.attention_bias);
    visitor.LinearLayer(layer + "self_attn.v_proj", key, hidden, config.attention_bias);
    visitor.LinearLayer(layer + "self_attn.o_proj", hidden, query, config.attention_bias);
    visitor.Vector(layer + "post_attention_layernorm.weight", hidden);
    visitor.LinearLayer(layer + "mlp.gate_proj", config.intermediate_size, hidden, config.mlp_bias);
    visitor.LinearLayer(layer + "mlp.up_proj", config.intermediate_size, hidden, config.mlp_bias);
    visitor.LinearLayer(layer + "mlp.down_proj", hidden, config.intermediate_size, config.mlp_bias);
  }
  visitor.Vector("norm.weight", hidden);
  if (config.head == ModelHead::kCausalLm && !config.tie_word_embeddings) {
    visitor.Matrix("lm_head.weight", config.vocab_size, hidden, TensorRole::kHead);
  }
}

struct Layer {
  const float* input_norm;
  Linear query, key, value, output;
  const float* mlp_norm;
  Linear gate, up, down;
};

class LlamaNetwork final : public Network {
 public:
  LlamaNetwork(const ArchitectureConfig& config, const WeightStore& weights)
      : config_(config),
        rotary_(config),
        embedding_(weights.Matrix("embed_tokens.weight")),
        norm_(weights.Vector("norm.weight")) {
    for (std::int64_t i = 0; i < config.num_layers; ++i) {
      const std::string layer = fmt::format("layers.{}.", i);
      layers_.push_back({weights.Vector(layer + "input_layernorm.weight"),
                         weights.LinearOf(layer + "self_attn.q_proj"),
                         weights.LinearOf(layer + "self_attn.k_proj"),
                         weights.LinearOf(layer + "self_attn.v_proj"),
                         weights.LinearOf(layer + "self_attn.o_proj"),
                         weights.Vector(layer + "post_attention_layernorm.weight"),
                         weights.LinearOf(layer + "mlp.gate_proj"),
                         weights.LinearOf(layer + "mlp.up_proj"),
                         weights.LinearOf(layer + "mlp.down_proj")});
    }
  }

  void Run(const Ops& ops, const RowBatch& batch, Workspace& space) const override {
    const auto rows = static_cast<std::int64_t>(batch.ids.size());
    ops.LookUp(embedding_, batch.ids, space.hidden);
    rotary_.FillTables(ops, batch, space);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      RunAttention(ops, batch, static_cast<std::int64_t>(i), space);
      RunMlp(ops, rows, layers_[i], space);
    }
    Normalize(ops, space.hidden, rows, norm_, space.hidden);
  }

 private:
  void Normalize(const Ops& ops, const float* x, std::int64_t rows, const float* weight,
                 float* out) const {
    ops.RmsNorm(x, rows, config_.hidden_size, weight, static_cast<float>(config_.norm_eps), out);
  }

  void RunAttention(const Ops& ops, const RowBatch& batch, std::int64_t index,
                    Workspace& space) const {
    const Layer& layer = layers_[static_cast<std::size_t>(index)];
    const auto rows = static_cast<std::int64_t>(batch.ids.size());
    Normalize(ops, space.hidden, rows, layer.input_norm, space.normed);
    ops.MatMul(space.normed, rows,
               std::array{layer.query.To(space.query), layer.key.To(space.key),
                          layer.value.To(space.value)},
               space.scratch);
    rotary_.Rotate(ops, rows, space);
    AttendSequences(ops, config_, batch, index, /*causal=*/true, space);
    ops.MatMul(space.attention, rows, std::array{layer.output.To(space.normed)}, space.scratch);
    ops.Add(space.hidden, space.normed, rows * config_.hidden_size);
  }

  void RunMlp(const Ops& ops, std::int64_t rows, const Layer& layer, Workspace& space) const {
    Normalize(ops, space.hidden, rows, layer.mlp_norm, space.normed);
    ops.MatMul(space.normed, rows, std::array{layer.gate.To(space.gate), layer.up.To(space.up)},
               space.scratch);
    ops.ActivateAndMultiply(KernelActivation(config_.activation), space.gate, space.up,
                            rows * config_.intermediate_size);
    ops.MatMul(space.gate, rows, std::array{layer.down.To(space.normed)}, space.scratch);
    ops.Add(space.hidden, space.normed, rows * config_.hidden_size);
  }

  ArchitectureConfig config_;
  Rotary rotary_;
  kernels::WeightView embedding_;
  const float* norm_;
  std::vector<Layer> layers_;
};

std::unique_ptr<const Network> Make(const ArchitectureConfig& config, const WeightStore& weights) {
  return std::make_unique<LlamaNetwork>(config, weights);
}

}  // namespace

const Family kLlamaFamily = {ModelFamily::kLlama, "model.", VisitTensors, Make};

}  // namespace mdsa::engine
