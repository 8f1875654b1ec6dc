#include "support/tiny_model.h"

#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/thread_pool.h"

namespace mdsa::testing {

float RandomFloats::Next() {
  state_ = state_ * 6364136223846793005u + 1442695040888963407u;
  return static_cast<float>(static_cast<double>(state_ >> 40) / (1 << 23) - 1.0);
}

ArchitectureConfig TinyBertConfig() {
  ArchitectureConfig config;
  config.family = ModelFamily::kBert;
  config.architecture = "BertModel";
  config.vocab_size = 53;
  config.hidden_size = 36;
  config.intermediate_size = 70;
  config.num_layers = 2;
  config.num_heads = 3;
  config.num_kv_heads = 3;
  config.head_dim = 12;
  config.max_position_embeddings = 40;
  config.norm_eps = 1e-12;
  config.activation = HiddenActivation::kGelu;
  config.type_vocab_size = 2;
  return config;
}

ArchitectureConfig TinyLlamaConfig() {
  ArchitectureConfig config;
  config.family = ModelFamily::kLlama;
  config.head = ModelHead::kCausalLm;
  config.architecture = "LlamaForCausalLM";
  config.vocab_size = 61;
  config.hidden_size = 40;
  config.intermediate_size = 72;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 10;
  config.max_position_embeddings = 1200;
  config.norm_eps = 1e-6;
  config.rotary_dim = 10;
  return config;
}

ArchitectureConfig TinyPhiConfig() {
  ArchitectureConfig config = TinyLlamaConfig();
  config.family = ModelFamily::kPhi;
  config.architecture = "PhiForCausalLM";
  config.num_kv_heads = 4;
  config.activation = HiddenActivation::kGeluTanh;
  config.rotary_dim = 4;
  config.norm_eps = 1e-5;
  return config;
}

TinyWeights RandomWeights(const ArchitectureConfig& config, std::uint64_t seed) {
  RandomFloats random(seed);
  TinyWeights weights;
  for (const engine::TensorSpec& spec : engine::TensorSpecs(config)) {
    std::int64_t n = 1;
    for (std::int64_t dim : spec.shape) n *= dim;
    const bool norm = spec.shape.size() == 1 && spec.name.ends_with("weight");
    std::vector<float>& values = weights[spec.name];
    for (std::int64_t i = 0; i < n; ++i) {
      values.push_back((norm ? 1.0f : 0.0f) + 0.3f * random.Next());
    }
  }
  return weights;
}

std::shared_ptr<FakeTensorSource> MakeSource(const ArchitectureConfig& config,
                                             const TinyWeights& weights, DType dtype,
                                             const std::string& prefix) {
  auto source = std::make_shared<FakeTensorSource>();
  for (const engine::TensorSpec& spec : engine::TensorSpecs(config)) {
    const bool head = spec.name.starts_with("lm_head") || spec.name.starts_with("classifier");
    source->Add((head ? "" : prefix) + spec.name, spec.shape, weights.at(spec.name),
                spec.shape.size() == 2 ? dtype : DType::kF32);
  }
  return source;
}

engine::BuildInput MakeBuildInput(const ArchitectureConfig& config,
                                  std::shared_ptr<const TensorSource> source) {
  engine::BuildInput input;
  input.tensors = std::move(source);
  input.config = config;
  input.compute = std::make_shared<ThreadPool>(1);
  return input;
}

std::shared_ptr<Model> BuildTinyModel(const ArchitectureConfig& config, const TinyWeights& weights,
                                      std::int64_t max_length,
                                      std::shared_ptr<const Tokenizer> tokenizer) {
  engine::BuildInput input = MakeBuildInput(config, MakeSource(config, weights));
  input.max_length = max_length;
  input.tokenizer = std::move(tokenizer);
  auto model = engine::BuildModel(std::move(input));
  MDSA_CHECK(model.has_value());
  return *std::move(model);
}

std::vector<TokenId> RandomIds(std::int64_t n, std::int64_t vocab, std::uint64_t seed) {
  RandomFloats random(seed);
  std::vector<TokenId> ids;
  for (std::int64_t i = 0; i < n; ++i) {
    ids.push_back(static_cast<TokenId>(std::abs(random.Next()) * static_cast<float>(vocab - 1)));
  }
  return ids;
}

}  // namespace mdsa::testing
