#include "formats/gguf_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/printable.h"

namespace mdsa {
namespace {

struct GgufArchitecture {
  std::string_view name;
  ModelFamily family;
  std::string_view class_name;  // transformers' name of the same model
  ModelHead head;
  std::string_view eps_key;
  HiddenActivation activation;
};

constexpr std::array kArchitectures = {
    GgufArchitecture{"llama", ModelFamily::kLlama, "LlamaForCausalLM", ModelHead::kCausalLm,
                     "attention.layer_norm_rms_epsilon", HiddenActivation::kSilu},
    GgufArchitecture{"phi2", ModelFamily::kPhi, "PhiForCausalLM", ModelHead::kCausalLm,
                     "attention.layer_norm_epsilon", HiddenActivation::kGeluTanh},
    GgufArchitecture{"bert", ModelFamily::kBert, "BertModel", ModelHead::kNone,
                     "attention.layer_norm_epsilon", HiddenActivation::kGelu},
};

Result<const GgufArchitecture*> FindArchitecture(const GgufFile& file) {
  MDSA_ASSIGN(const auto name, file.String("general.architecture"));
  if (!name) return Err(ErrorCode::kInvalidFormat, "key 'general.architecture' is missing");
  for (const GgufArchitecture& known : kArchitectures) {
    if (known.name == *name) return &known;
  }
  return Err(ErrorCode::kUnsupported,
             "architecture {} is not supported; supported are llama, phi2, bert", Printable(*name));
}

// The keys below "{arch}.".
class ArchitectureKeys {
 public:
  ArchitectureKeys(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  std::string Full(std::string_view key) const { return prefix_ + std::string(key); }
  Result<std::int64_t> Size(std::string_view key, std::int64_t max = kMaxModelSize) const {
    MDSA_ASSIGN(const auto value, file_.Integer(Full(key), 1, max));
    if (!value) return Err(ErrorCode::kInvalidFormat, "key '{}' is missing", Full(key));
    return *value;
  }
  Result<std::int64_t> SizeOr(std::string_view key, std::int64_t absent) const {
    MDSA_ASSIGN(const auto value, file_.Integer(Full(key), 1, kMaxModelSize));
    return value.value_or(absent);
  }
  Result<std::optional<double>> Number(std::string_view key) const {
    return file_.Number(Full(key));
  }
  Result<std::optional<std::string_view>> String(std::string_view key) const {
    return file_.String(Full(key));
  }
  const GgufFile& file() const { return file_; }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

Status ParseSizes(const ArchitectureKeys& keys, ArchitectureConfig& config) {
  MDSA_ASSIGN(config.hidden_size, keys.Size("embedding_length"));
  MDSA_ASSIGN(config.intermediate_size, keys.Size("feed_forward_length"));
  MDSA_ASSIGN(config.num_layers, keys.Size("block_count", kMaxLayers));
  MDSA_ASSIGN(config.num_heads, keys.Size("attention.head_count"));
  MDSA_ASSIGN(config.num_kv_heads, keys.SizeOr("attention.head_count_kv", config.num_heads));
  MDSA_ASSIGN(config.max_position_embeddings, keys.Size("context_length"));
  MDSA_ASSIGN(config.head_dim, keys.SizeOr("attention.key_length", 0));
  if (config.head_dim == 0) {
    if (config.hidden_size % config.num_heads != 0) {
      return Err(ErrorCode::kInvalidFormat, "'{}' {} is not a multiple of '{}' {}",
                 keys.Full("embedding_length"), config.hidden_size,
                 keys.Full("attention.head_count"), config.num_heads);
    }
    config.head_dim = config.hidden_size / config.num_heads;
  }
  MDSA_ASSIGN(const std::int64_t value_dim, keys.SizeOr("attention.value_length", config.head_dim));
  if (value_dim != config.head_dim) {
    return Err(ErrorCode::kUnsupported, "key '{}' {} differs from the keys' {}",
               keys.Full("attention.value_length"), value_dim, config.head_dim);
  }
  return {};
}

Result<std::int64_t> VocabularySize(const ArchitectureKeys& keys) {
  // The embedding itself is the truth; the key and the token list may leave out padding rows.
  const GgufTensor* embedding = keys.file().FindTensor("token_embd.weight");
  if (embedding != nullptr && embedding->shape.size() == 2) return embedding->shape[0];
  return keys.Size("vocab_size");
}

// llama.cpp's file form of llama3 scaling is a table of divisors, one for each frequency. The
// engine wants the parameters; Meta's models all use these, and only the factor differs.
Status ParseRopeFactors(const GgufTensor& table, ArchitectureConfig& config) {
  constexpr double kLow = 1.0, kHigh = 4.0;
  constexpr std::int64_t kOriginal = 8192;
  const auto count = static_cast<std::size_t>(config.rotary_dim / 2);
  if (table.dtype != DType::kF32 || table.bytes.size() != count * sizeof(float) || count == 0) {
    return Err(ErrorCode::kInvalidFormat, "tensor 'rope_freqs.weight' is not F32 of [{}]", count);
  }
  std::vector<float> divisors(count);
  std::memcpy(divisors.data(), table.bytes.data(), table.bytes.size());
  const double factor = *std::ranges::max_element(divisors);
  if (std::ranges::all_of(divisors, [](float divisor) { return divisor == 1; })) return {};
  if (config.rope_scaling.type != RopeScaling::Type::kNone) {
    return Err(ErrorCode::kUnsupported,
               "tensor 'rope_freqs.weight' beside a rope scaling of the metadata");
  }
  for (std::size_t i = 0; i < count; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(config.rotary_dim);
    const double wavelength = 2 * std::numbers::pi * std::pow(config.rope_theta, exponent);
    const double turns = static_cast<double>(kOriginal) / wavelength;
    const double smooth = std::clamp((turns - kLow) / (kHigh - kLow), 0.0, 1.0);
    const double expected = 1 / ((1 - smooth) / factor + smooth);
    // In this form, a divisor that is no number fails too.
    if (!(factor > 1) || !(std::abs(divisors[i] - expected) <= 1e-3 * expected)) {
      return Err(ErrorCode::kUnsupported,
                 "tensor 'rope_freqs.weight' is not the llama3 scaling of a context of {} by {}",
                 kOriginal, factor);
    }
  }
  config.rope_scaling = {.type = RopeScaling::Type::kLlama3,
                         .factor = factor,
                         .low_freq_factor = kLow,
                         .high_freq_factor = kHigh,
                         .original_max_position_embeddings = kOriginal,
                         .attention_factor = {},
                         .mscale = {},
                         .mscale_all_dim = {}};
  return {};
}

Status ParseYarn(const ArchitectureKeys& keys, RopeScaling& scaling) {
  MDSA_ASSIGN(const auto fast, keys.Number("rope.scaling.yarn_beta_fast"));
  MDSA_ASSIGN(const auto slow, keys.Number("rope.scaling.yarn_beta_slow"));
  scaling.beta_fast = fast.value_or(scaling.beta_fast);
  scaling.beta_slow = slow.value_or(scaling.beta_slow);
  MDSA_ASSIGN(const auto attention, keys.Number("rope.scaling.attn_factor"));
  // The file's factor multiplies the usual one; ours replaces it.
  if (attention) scaling.attention_factor = *attention * (0.1 * std::log(scaling.factor) + 1);
  return {};
}

Status ParseRopeScaling(const ArchitectureKeys& keys, ArchitectureConfig& config) {
  RopeScaling& scaling = config.rope_scaling;
  MDSA_ASSIGN(const auto type, keys.String("rope.scaling.type"));
  MDSA_ASSIGN(auto factor, keys.Number("rope.scaling.factor"));
  if (!factor) {  // its name in older files
    MDSA_ASSIGN(factor, keys.Number("rope.scale_linear"));
  }
  if (factor == 0) factor = std::nullopt;  // as in llama.cpp: no scaling
  if (type == "none" || (!type && !factor)) return {};
  const std::string_view kind = type.value_or("linear");  // llama.cpp's default
  if (kind != "linear" && kind != "yarn") {
    return Err(ErrorCode::kUnsupported,
               "key '{}': {} is not supported; supported are none, linear, yarn",
               keys.Full("rope.scaling.type"), Printable(kind));
  }
  if (!factor) {
    return Err(ErrorCode::kInvalidFormat, "key '{}' is missing", keys.Full("rope.scaling.factor"));
  }
  scaling.factor = *factor;
  scaling.type = RopeScaling::Type::kLinear;
  if (kind == "linear") return {};
  scaling.type = RopeScaling::Type::kYarn;
  MDSA_ASSIGN(scaling.original_max_position_embeddings,
              keys.SizeOr("rope.scaling.original_context_length", config.max_position_embeddings));
  return ParseYarn(keys, scaling);
}

Status ParseDecoder(const ArchitectureKeys& keys, ArchitectureConfig& config) {
  const GgufFile& file = keys.file();
  MDSA_ASSIGN(config.rotary_dim, keys.SizeOr("rope.dimension_count", config.head_dim));
  if (config.family == ModelFamily::kLlama && config.rotary_dim < config.head_dim) {
    // The rows of its query and key are reordered by whole heads.
    return Err(ErrorCode::kUnsupported,
               "key '{}': {} of {} dimensions of a head are rotated; llama needs all",
               keys.Full("rope.dimension_count"), config.rotary_dim, config.head_dim);
  }
  MDSA_ASSIGN(const auto theta, keys.Number("rope.freq_base"));
  config.rope_theta = theta.value_or(config.rope_theta);
  MDSA_TRY(ParseRopeScaling(keys, config));
  if (const GgufTensor* table = file.FindTensor("rope_freqs.weight")) {
    MDSA_TRY(ParseRopeFactors(*table, config));
  }
  config.tie_word_embeddings = file.FindTensor("output.weight") == nullptr;
  if (config.family == ModelFamily::kLlama) {
    config.attention_bias = file.FindTensor("blk.0.attn_q.bias") != nullptr;
    config.mlp_bias = file.FindTensor("blk.0.ffn_up.bias") != nullptr;
  }
  return {};
}

Status ParseTokenIds(const GgufFile& file, ArchitectureConfig& config) {
  const auto id = [&](std::string_view key) { return GgufTokenId(file, key, config.vocab_size); };
  MDSA_ASSIGN(config.bos_token_id, id("bos_token_id"));
  MDSA_ASSIGN(config.pad_token_id, id("padding_token_id"));
  for (std::string_view key : {"eos_token_id", "eot_token_id"}) {
    MDSA_ASSIGN(const auto eos, id(key));
    if (eos && std::ranges::find(config.eos_token_ids, *eos) == config.eos_token_ids.end()) {
      config.eos_token_ids.push_back(*eos);
    }
  }
  return {};
}

// What would silently compute something else.
Status RefuseUnsupported(const ArchitectureKeys& keys) {
  MDSA_ASSIGN(const auto parts, keys.file().Integer("split.count", 0, kMaxModelSize));
  if (parts.value_or(0) > 1) {
    return Err(ErrorCode::kUnsupported,
               "the file is one of {} parts; join them first (llama-gguf-split --merge)", *parts);
  }
  MDSA_ASSIGN(const auto experts, keys.file().Integer(keys.Full("expert_count"), 0, kMaxModelSize));
  if (experts.value_or(0) > 0) {
    return Err(ErrorCode::kUnsupported, "key '{}': mixtures of {} experts are not supported",
               keys.Full("expert_count"), *experts);
  }
  return {};
}

}  // namespace

Result<ArchitectureConfig> ArchitectureConfigFromGguf(const GgufFile& file) {
  MDSA_ASSIGN(const GgufArchitecture* architecture, FindArchitecture(file));
  const ArchitectureKeys keys(file, architecture->name);
  MDSA_TRY(RefuseUnsupported(keys));
  ArchitectureConfig config;
  config.family = architecture->family;
  config.head = architecture->head;
  config.architecture = architecture->class_name;
  config.activation = architecture->activation;
  MDSA_TRY(ParseSizes(keys, config));
  MDSA_ASSIGN(config.vocab_size, VocabularySize(keys));
  MDSA_ASSIGN(const auto eps, keys.Number(architecture->eps_key));
  if (!eps) {
    return Err(ErrorCode::kInvalidFormat, "key '{}' is missing", keys.Full(architecture->eps_key));
  }
  config.norm_eps = *eps;
  if (config.family == ModelFamily::kBert) {
    const GgufTensor* types = file.FindTensor("token_types.weight");
    config.type_vocab_size = types != nullptr && types->shape.size() == 2 ? types->shape[0] : 2;
    config.tie_word_embeddings = true;
  } else {
    MDSA_TRY(ParseDecoder(keys, config));
  }
  MDSA_TRY(ParseTokenIds(file, config));
  MDSA_TRY(ValidateArchitectureConfig(config));
  return config;
}

Result<std::optional<PoolingConfig>> PoolingConfigFromGguf(const GgufFile& file) {
  MDSA_ASSIGN(const GgufArchitecture* architecture, FindArchitecture(file));
  const ArchitectureKeys keys(file, architecture->name);
  MDSA_ASSIGN(const auto type, file.Integer(keys.Full("pooling_type"), 0, kMaxModelSize));
  PoolingConfig pooling;
  switch (type.value_or(0)) {
    case 0:
      return std::nullopt;
    case 1:
      pooling.mode = PoolingMode::kMean;
      return pooling;
    case 2:
      pooling.mode = PoolingMode::kCls;
      return pooling;
    case 3:
      pooling.mode = PoolingMode::kLastToken;
      return pooling;
    default:
      return Err(ErrorCode::kUnsupported, "key '{}': {} is not supported; supported are 0 to 3",
                 keys.Full("pooling_type"), *type);
  }
}

}  // namespace mdsa
