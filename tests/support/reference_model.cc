#include "support/reference_model.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace mdsa::testing {
namespace {

using Row = std::vector<double>;

class Reference {
 public:
  Reference(const ArchitectureConfig& config, const TinyWeights& weights)
      : config_(config), weights_(weights) {}

  const std::vector<float>* Find(const std::string& name) const {
    const auto it = weights_.find(name);
    return it == weights_.end() ? nullptr : &it->second;
  }

  Row TableRow(const std::string& name, std::int64_t row) const {
    const std::vector<float>& table = weights_.at(name);
    const std::int64_t dim = config_.hidden_size;
    return {table.begin() + row * dim, table.begin() + (row + 1) * dim};
  }

  Row Project(const std::string& weight_name, const std::string& bias_name, const Row& x) const {
    const std::vector<float>& weight = weights_.at(weight_name);
    const std::vector<float>* bias = Find(bias_name);
    Row y(weight.size() / x.size());
    for (std::size_t r = 0; r < y.size(); ++r) {
      y[r] = bias != nullptr ? (*bias)[r] : 0.0;
      for (std::size_t c = 0; c < x.size(); ++c) y[r] += weight[r * x.size() + c] * x[c];
    }
    return y;
  }
  Row Project(const std::string& layer, const Row& x) const {
    return Project(layer + ".weight", layer + ".bias", x);
  }

  Row LayerNorm(const std::string& name, const Row& x) const {
    double mean = 0.0;
    for (double v : x) mean += v / static_cast<double>(x.size());
    double variance = 0.0;
    for (double v : x) variance += (v - mean) * (v - mean) / static_cast<double>(x.size());
    Row y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      y[i] = (x[i] - mean) / std::sqrt(variance + config_.norm_eps) *
                 weights_.at(name + ".weight")[i] +
             weights_.at(name + ".bias")[i];
    }
    return y;
  }

  Row RmsNorm(const std::string& name, const Row& x) const {
    double mean_square = 0.0;
    for (double v : x) mean_square += v * v / static_cast<double>(x.size());
    Row y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      y[i] = x[i] / std::sqrt(mean_square + config_.norm_eps) * weights_.at(name + ".weight")[i];
    }
    return y;
  }

  double Activate(double x) const {
    switch (config_.activation) {
      case HiddenActivation::kGelu:
        return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
      case HiddenActivation::kGeluTanh:
        return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
      case HiddenActivation::kSilu:
        return x / (1.0 + std::exp(-x));
      case HiddenActivation::kRelu:
        return std::max(x, 0.0);
    }
    return x;
  }

  void NormalizeHeads(const std::string& name, Row& x) const {
    const auto dim = static_cast<std::size_t>(config_.head_dim);
    for (std::size_t first = 0; first < x.size(); first += dim) {
      const Row head = LayerNorm(name, Row(x.begin() + static_cast<std::ptrdiff_t>(first),
                                           x.begin() + static_cast<std::ptrdiff_t>(first + dim)));
      std::ranges::copy(head, x.begin() + static_cast<std::ptrdiff_t>(first));
    }
  }

  void Rotate(Row& x, std::size_t position) const {
    const auto dim = static_cast<std::size_t>(config_.head_dim);
    const auto half = static_cast<std::size_t>(config_.rotary_dim / 2);
    for (std::size_t head = 0; head < x.size(); head += dim) {
      for (std::size_t i = 0; i < half; ++i) {
        const double angle =
            static_cast<double>(position) *
            std::pow(config_.rope_theta, -static_cast<double>(i) / static_cast<double>(half));
        const double a = x[head + i], b = x[head + half + i];
        x[head + i] = a * std::cos(angle) - b * std::sin(angle);
        x[head + half + i] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
  }

  Rows Attend(const Rows& q, const Rows& k, const Rows& v, bool causal,
              std::span<const std::uint8_t> mask) const {
    const auto dim = static_cast<std::size_t>(config_.head_dim);
    const auto heads = static_cast<std::size_t>(config_.num_heads);
    const auto group = heads / static_cast<std::size_t>(config_.num_kv_heads);
    Rows out(q.size(), Row(heads * dim, 0.0));
    for (std::size_t i = 0; i < q.size(); ++i) {
      for (std::size_t h = 0; h < heads; ++h) {
        const std::size_t from = h * dim, kv = h / group * dim;
        Row weight(k.size(), 0.0);
        double sum = 0.0;
        for (std::size_t j = 0; j < k.size(); ++j) {
          if ((causal && j > i) || (!mask.empty() && mask[j] == 0)) continue;
          double score = 0.0;
          for (std::size_t d = 0; d < dim; ++d) score += q[i][from + d] * k[j][kv + d];
          sum += weight[j] = std::exp(score / std::sqrt(static_cast<double>(dim)));
        }
        if (sum == 0.0) continue;
        for (std::size_t j = 0; j < k.size(); ++j) {
          for (std::size_t d = 0; d < dim; ++d) out[i][from + d] += weight[j] / sum * v[j][kv + d];
        }
      }
    }
    return out;
  }

 private:
  const ArchitectureConfig& config_;
  const TinyWeights& weights_;
};

void AddTo(Row& x, const Row& y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

void RunBertLayer(const Reference& ref, const std::string& layer,
                  std::span<const std::uint8_t> mask, Rows& x) {
  Rows q, k, v;
  for (const Row& row : x) {
    q.push_back(ref.Project(layer + "attention.self.query", row));
    k.push_back(ref.Project(layer + "attention.self.key", row));
    v.push_back(ref.Project(layer + "attention.self.value", row));
  }
  const Rows attended = ref.Attend(q, k, v, false, mask);
  for (std::size_t i = 0; i < x.size(); ++i) {
    AddTo(x[i], ref.Project(layer + "attention.output.dense", attended[i]));
    x[i] = ref.LayerNorm(layer + "attention.output.LayerNorm", x[i]);
    Row up = ref.Project(layer + "intermediate.dense", x[i]);
    for (double& value : up) value = ref.Activate(value);
    AddTo(x[i], ref.Project(layer + "output.dense", up));
    x[i] = ref.LayerNorm(layer + "output.LayerNorm", x[i]);
  }
}

Row LlamaMlp(const Reference& ref, const std::string& layer, const Row& x) {
  Row gate = ref.Project(layer + "mlp.gate_proj", x);
  const Row up = ref.Project(layer + "mlp.up_proj", x);
  for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = ref.Activate(gate[i]) * up[i];
  return ref.Project(layer + "mlp.down_proj", gate);
}

Row PhiMlp(const Reference& ref, const std::string& layer, const Row& x) {
  Row up = ref.Project(layer + "mlp.fc1", x);
  for (double& value : up) value = ref.Activate(value);
  return ref.Project(layer + "mlp.fc2", up);
}

void RunDecoderLayer(const Reference& ref, const ArchitectureConfig& config,
                     const std::string& layer, std::span<const std::uint8_t> mask, Rows& x) {
  const bool phi = config.family == ModelFamily::kPhi;
  Rows q, k, v, normed;
  for (std::size_t i = 0; i < x.size(); ++i) {
    normed.push_back(phi ? ref.LayerNorm(layer + "input_layernorm", x[i])
                         : ref.RmsNorm(layer + "input_layernorm", x[i]));
    q.push_back(ref.Project(layer + "self_attn.q_proj", normed[i]));
    k.push_back(ref.Project(layer + "self_attn.k_proj", normed[i]));
    v.push_back(ref.Project(layer + "self_attn.v_proj", normed[i]));
    if (config.qk_layernorm) {
      ref.NormalizeHeads(layer + "self_attn.q_layernorm", q[i]);
      ref.NormalizeHeads(layer + "self_attn.k_layernorm", k[i]);
    }
    ref.Rotate(q[i], i);
    ref.Rotate(k[i], i);
  }
  const Rows attended = ref.Attend(q, k, v, true, mask);
  for (std::size_t i = 0; i < x.size(); ++i) {
    AddTo(x[i], ref.Project(layer + (phi ? "self_attn.dense" : "self_attn.o_proj"), attended[i]));
    AddTo(x[i], phi ? PhiMlp(ref, layer, normed[i])
                    : LlamaMlp(ref, layer, ref.RmsNorm(layer + "post_attention_layernorm", x[i])));
  }
}

ReferenceOutput RunBert(const ArchitectureConfig& config, const Reference& ref,
                        std::span<const TokenId> ids, std::span<const TokenId> type_ids,
                        std::span<const std::uint8_t> mask) {
  ReferenceOutput out;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Row row = ref.TableRow("embeddings.word_embeddings.weight", ids[i]);
    AddTo(row, ref.TableRow("embeddings.position_embeddings.weight", static_cast<std::int64_t>(i)));
    AddTo(row, ref.TableRow("embeddings.token_type_embeddings.weight",
                            type_ids.empty() ? 0 : type_ids[i]));
    out.hidden.push_back(ref.LayerNorm("embeddings.LayerNorm", row));
  }
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    RunBertLayer(ref, "encoder.layer." + std::to_string(i) + ".", mask, out.hidden);
  }
  out.pooled = ref.Project("pooler.dense", out.hidden.front());
  for (double& value : out.pooled) value = std::tanh(value);
  if (config.head == ModelHead::kSequenceClassification) {
    out.logits.push_back(ref.Project("classifier", out.pooled));
  }
  return out;
}

}  // namespace

ReferenceOutput RunReference(const ArchitectureConfig& config, const TinyWeights& weights,
                             std::span<const TokenId> ids, std::span<const TokenId> type_ids,
                             std::span<const std::uint8_t> mask) {
  const Reference ref(config, weights);
  if (config.family == ModelFamily::kBert) return RunBert(config, ref, ids, type_ids, mask);
  ReferenceOutput out;
  for (TokenId id : ids) out.hidden.push_back(ref.TableRow("embed_tokens.weight", id));
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    RunDecoderLayer(ref, config, "layers." + std::to_string(i) + ".", mask, out.hidden);
  }
  for (Row& row : out.hidden) {
    row = config.family == ModelFamily::kPhi ? ref.LayerNorm("final_layernorm", row)
                                             : ref.RmsNorm("norm", row);
    if (config.head != ModelHead::kCausalLm) continue;
    out.logits.push_back(
        ref.Project(config.tie_word_embeddings ? "embed_tokens.weight" : "lm_head.weight",
                    "lm_head.bias", row));
  }
  return out;
}

}  // namespace mdsa::testing
