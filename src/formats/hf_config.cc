// ParseHfConfig: config.json as transformers writes and wrote it. Absent keys have the defaults of
// transformers 5. `rope_parameters` and `dtype` are the spellings of version 5, `rope_theta`,
// `rope_scaling` and `torch_dtype` those before.
#include <array>
#include <charconv>
#include <limits>
#include <map>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "formats/architecture_config.h"
#include "formats/hf_rope.h"
#include "formats/json.h"
#include "formats/printable.h"

namespace mdsa {
namespace {

// What transformers assumes where config.json is silent.
struct FamilyDefaults {
  ModelFamily family;
  std::string_view model_type;
  std::string_view class_prefix;  // of "architectures", for files without model_type
  std::int64_t vocab_size, hidden_size, intermediate_size, num_layers, num_heads;
  std::int64_t max_position_embeddings;
  std::string_view eps_key;
  double eps;
  std::string_view activation;
  bool tie_word_embeddings;
  double partial_rotary_factor;
  std::optional<std::int32_t> bos, eos, pad;
};

constexpr std::array kFamilies = {
    FamilyDefaults{
        .family = ModelFamily::kBert,
        .model_type = "bert",
        .class_prefix = "Bert",
        .vocab_size = 30522,
        .hidden_size = 768,
        .intermediate_size = 3072,
        .num_layers = 12,
        .num_heads = 12,
        .max_position_embeddings = 512,
        .eps_key = "layer_norm_eps",
        .eps = 1e-12,
        .activation = "gelu",
        .tie_word_embeddings = true,
        .partial_rotary_factor = 1.0,
        .bos = {},
        .eos = {},
        .pad = 0,
    },
    FamilyDefaults{
        .family = ModelFamily::kLlama,
        .model_type = "llama",
        .class_prefix = "Llama",
        .vocab_size = 32000,
        .hidden_size = 4096,
        .intermediate_size = 11008,
        .num_layers = 32,
        .num_heads = 32,
        .max_position_embeddings = 2048,
        .eps_key = "rms_norm_eps",
        .eps = 1e-6,
        .activation = "silu",
        .tie_word_embeddings = false,
        .partial_rotary_factor = 1.0,
        .bos = 1,
        .eos = 2,
        .pad = {},
    },
    FamilyDefaults{
        .family = ModelFamily::kPhi,
        .model_type = "phi",
        .class_prefix = "Phi",
        .vocab_size = 51200,
        .hidden_size = 2048,
        .intermediate_size = 8192,
        .num_layers = 24,
        .num_heads = 32,
        .max_position_embeddings = 2048,
        .eps_key = "layer_norm_eps",
        .eps = 1e-5,
        .activation = "gelu_new",
        .tie_word_embeddings = false,
        .partial_rotary_factor = 0.5,
        .bos = 1,
        .eos = 2,
        .pad = {},
    },
};

Result<std::string> FirstArchitecture(const JsonObject& root) {
  MDSA_ASSIGN(const auto architectures, root.Array("architectures"));
  if (!architectures || architectures->begin() == architectures->end()) return std::string();
  std::string_view name;
  if (architectures->at(0).get(name) != simdjson::SUCCESS) {
    return Err(ErrorCode::kInvalidFormat, "{}: expected strings", root.Where("architectures"));
  }
  return std::string(name);
}

// The class name without its "For...", "Model" or "LMHeadModel" has to be the family's prefix.
bool BelongsTo(std::string_view architecture, std::string_view prefix) {
  if (!architecture.starts_with(prefix)) return false;
  const std::string_view rest = architecture.substr(prefix.size());
  return rest.starts_with("For") || rest == "Model" || rest == "LMHeadModel";
}

Result<const FamilyDefaults*> FindFamily(const JsonObject& root, std::string_view architecture) {
  MDSA_ASSIGN(const auto model_type, root.String("model_type"));
  for (const FamilyDefaults& family : kFamilies) {
    if (model_type ? *model_type == family.model_type
                   : BelongsTo(architecture, family.class_prefix)) {
      return &family;
    }
  }
  if (model_type) {
    return Err(ErrorCode::kUnsupported,
               "model_type {} is not supported; supported are bert, llama, phi",
               Printable(*model_type));
  }
  return Err(ErrorCode::kInvalidFormat,
             "key 'model_type' is missing; supported are bert, llama, phi");
}

ModelHead HeadOf(std::string_view architecture) {
  if (architecture.ends_with("ForSequenceClassification")) {
    return ModelHead::kSequenceClassification;
  }
  if (architecture.ends_with("ForCausalLM")) return ModelHead::kCausalLm;
  return ModelHead::kNone;
}

Result<HiddenActivation> ParseActivation(const JsonObject& root, std::string_view absent) {
  MDSA_ASSIGN(const auto given, root.String("hidden_act"));
  const std::string_view name = given.value_or(absent);
  if (name == "gelu" || name == "gelu_python") return HiddenActivation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_python_tanh" ||
      name == "gelu_fast" || name == "gelu_accurate") {
    return HiddenActivation::kGeluTanh;
  }
  if (name == "silu" || name == "swish") return HiddenActivation::kSilu;
  if (name == "relu") return HiddenActivation::kRelu;
  return Err(ErrorCode::kUnsupported,
             "hidden_act {} is not supported; supported are gelu, gelu_new, gelu_pytorch_tanh, "
             "silu, relu",
             Printable(name));
}

Status ParseSizes(const JsonObject& root, const FamilyDefaults& family,
                  ArchitectureConfig& config) {
  const auto size = [&](std::string_view key, std::int64_t absent,
                        std::int64_t max = kMaxModelSize) {
    return root.IntegerOr(key, absent, 1, max);
  };
  MDSA_ASSIGN(config.vocab_size, size("vocab_size", family.vocab_size));
  MDSA_ASSIGN(config.hidden_size, size("hidden_size", family.hidden_size));
  MDSA_ASSIGN(config.intermediate_size, size("intermediate_size", family.intermediate_size));
  MDSA_ASSIGN(config.num_layers, size("num_hidden_layers", family.num_layers, kMaxLayers));
  MDSA_ASSIGN(config.num_heads, size("num_attention_heads", family.num_heads));
  MDSA_ASSIGN(config.max_position_embeddings,
              size("max_position_embeddings", family.max_position_embeddings));
  config.num_kv_heads = config.num_heads;
  std::optional<std::int64_t> head_dim;
  if (family.family == ModelFamily::kBert) {
    MDSA_ASSIGN(config.type_vocab_size, size("type_vocab_size", 2));
  } else {
    MDSA_ASSIGN(config.num_kv_heads, size("num_key_value_heads", config.num_heads));
    MDSA_ASSIGN(head_dim, root.Integer("head_dim", 1, kMaxModelSize));
  }
  if (!head_dim && config.hidden_size % config.num_heads != 0) {
    return Err(ErrorCode::kInvalidFormat,
               "hidden_size {} is not a multiple of num_attention_heads {}", config.hidden_size,
               config.num_heads);
  }
  config.head_dim = head_dim.value_or(config.hidden_size / config.num_heads);
  return {};
}

// id2label, whose keys are decimal strings, in order of the ids.
Result<std::vector<std::string>> ParseLabels(const JsonObject& map) {
  std::map<std::int64_t, std::string> by_id;
  for (const simdjson::dom::key_value_pair field : map.raw()) {
    std::int64_t id = -1;
    const char* end = field.key.data() + field.key.size();
    const auto [stop, error] = std::from_chars(field.key.data(), end, id);
    std::string_view label;
    if (error != std::errc() || stop != end || id < 0 || id >= kMaxLabels ||
        field.value.get(label) != simdjson::SUCCESS) {
      return Err(ErrorCode::kInvalidFormat,
                 "key 'id2label': entry {} does not map a label's number to its name",
                 Printable(field.key));
    }
    by_id[id] = label;
  }
  std::vector<std::string> labels;
  for (auto& [id, label] : by_id) {
    if (id != static_cast<std::int64_t>(labels.size())) {
      return Err(ErrorCode::kInvalidFormat, "key 'id2label': label {} is missing", labels.size());
    }
    labels.push_back(std::move(label));
  }
  if (labels.empty()) return Err(ErrorCode::kInvalidFormat, "key 'id2label' is empty");
  return labels;
}

Status ParseClassifier(const JsonObject& root, ArchitectureConfig& config) {
  if (config.head != ModelHead::kSequenceClassification) return {};
  MDSA_ASSIGN(const auto id2label, root.Object("id2label"));
  if (id2label) {
    MDSA_ASSIGN(config.labels, ParseLabels(*id2label));
  } else {
    MDSA_ASSIGN(const std::int64_t count, root.IntegerOr("num_labels", 2, 1, kMaxLabels));
    for (std::int64_t i = 0; i < count; ++i) config.labels.push_back(fmt::format("LABEL_{}", i));
  }
  config.num_labels = static_cast<std::int64_t>(config.labels.size());
  MDSA_ASSIGN(const auto problem_type, root.String("problem_type"));
  config.classifier_multi_label = problem_type == "multi_label_classification";
  return {};
}

Result<std::optional<DType>> ParseStoredDType(const JsonObject& root) {
  MDSA_ASSIGN(auto name, root.String("dtype"));
  if (!name) {
    MDSA_ASSIGN(name, root.String("torch_dtype"));
  }
  if (!name) return std::nullopt;
  if (name->starts_with("torch.")) name->remove_prefix(6);
  if (*name == "float32") return DType::kF32;
  if (*name == "float16") return DType::kF16;
  if (*name == "bfloat16") return DType::kBF16;
  if (*name == "float64") return DType::kF64;
  return std::nullopt;  // informational only: the tensors say what they are
}

// Old files write -1 for "none".
Result<std::optional<std::int32_t>> ParseTokenId(const JsonObject& root, std::string_view key,
                                                 std::optional<std::int32_t> absent) {
  if (root.raw().at_key(key).error() == simdjson::NO_SUCH_FIELD) return absent;
  MDSA_ASSIGN(const auto id, root.Integer(key, std::numeric_limits<std::int32_t>::min(),
                                          std::numeric_limits<std::int32_t>::max()));
  if (!id || *id < 0) return std::nullopt;
  return static_cast<std::int32_t>(*id);
}

// One id or a list of ids; nullopt when the key is absent or null.
Result<std::optional<std::vector<std::int32_t>>> ParseEosIds(const JsonObject& root) {
  constexpr std::string_view kKey = "eos_token_id";
  const auto value = root.Find(kKey);
  if (!value) return std::nullopt;
  std::vector<std::int32_t> ids;
  if (value->type() != simdjson::dom::element_type::ARRAY) {
    MDSA_ASSIGN(const auto id, ParseTokenId(root, kKey, {}));
    if (id) ids.push_back(*id);
    return ids;
  }
  MDSA_ASSIGN(const auto array, root.Array(kKey));
  for (simdjson::dom::element element : *array) {
    std::int64_t id;
    if (element.type() != simdjson::dom::element_type::INT64 ||
        element.get(id) != simdjson::SUCCESS || !std::in_range<std::int32_t>(id) || id < 0) {
      return Err(ErrorCode::kInvalidFormat, "{}: expected token ids", root.Where(kKey));
    }
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

// generation_config.json wins for end-of-sequence ids and fills in the others.
Status ParseTokenIds(const JsonObject& root, std::string_view generation_config_json,
                     const FamilyDefaults& family, ArchitectureConfig& config) {
  MDSA_ASSIGN(config.bos_token_id, ParseTokenId(root, "bos_token_id", family.bos));
  MDSA_ASSIGN(config.pad_token_id, ParseTokenId(root, "pad_token_id", family.pad));
  MDSA_ASSIGN(auto eos, ParseEosIds(root));
  const bool has_eos_key = !root.raw().at_key("eos_token_id").error();
  if (!eos && family.eos && !has_eos_key) eos = {*family.eos};
  if (!generation_config_json.empty()) {
    const auto merge = [&]() -> Status {
      MDSA_ASSIGN(const JsonDocument document, JsonDocument::Parse(generation_config_json));
      MDSA_ASSIGN(const JsonObject generation, document.RootObject());
      MDSA_ASSIGN(auto generation_eos, ParseEosIds(generation));
      if (generation_eos) eos = std::move(generation_eos);
      for (auto [key, id] : {std::pair("bos_token_id", &config.bos_token_id),
                             std::pair("pad_token_id", &config.pad_token_id)}) {
        if (id->has_value()) continue;
        MDSA_ASSIGN(*id, ParseTokenId(generation, key, {}));
      }
      return {};
    };
    if (auto status = merge(); !status) {
      return std::unexpected(std::move(status).error().AddContext("generation_config.json"));
    }
  }
  if (eos) config.eos_token_ids = *std::move(eos);
  return {};
}

// What would silently compute something else.
Status RefuseUnsupported(const JsonObject& root, ModelFamily family) {
  MDSA_ASSIGN(const auto quantization, root.Object("quantization_config"));
  if (quantization) {
    MDSA_ASSIGN(const auto method, quantization->String("quant_method"));
    return Err(ErrorCode::kUnsupported,
               "the checkpoint is already quantized (quantization_config with quant_method {}), "
               "which this version cannot load; use the original checkpoint and let mdsa quantize "
               "it",
               Printable(method.value_or("unknown")));
  }
  if (family != ModelFamily::kBert) return {};
  MDSA_ASSIGN(const auto positions, root.String("position_embedding_type"));
  if (positions && *positions != "absolute") {
    return Err(ErrorCode::kUnsupported,
               "position_embedding_type {} is not supported; supported is absolute",
               Printable(*positions));
  }
  MDSA_ASSIGN(const bool is_decoder, root.BoolOr("is_decoder", false));
  if (is_decoder) {
    return Err(ErrorCode::kUnsupported, "a bert with 'is_decoder' true is not supported");
  }
  return {};
}

}  // namespace

Result<ArchitectureConfig> ParseHfConfig(std::string_view config_json,
                                         std::string_view generation_config_json) {
  MDSA_ASSIGN(const JsonDocument document, JsonDocument::Parse(config_json));
  MDSA_ASSIGN(const JsonObject root, document.RootObject());
  ArchitectureConfig config;
  MDSA_ASSIGN(config.architecture, FirstArchitecture(root));
  MDSA_ASSIGN(const FamilyDefaults* family, FindFamily(root, config.architecture));
  config.family = family->family;
  config.head = HeadOf(config.architecture);
  MDSA_TRY(RefuseUnsupported(root, config.family));
  MDSA_TRY(ParseSizes(root, *family, config));
  MDSA_ASSIGN(config.norm_eps, root.NumberOr(family->eps_key, family->eps));
  MDSA_ASSIGN(config.activation, ParseActivation(root, family->activation));
  MDSA_ASSIGN(config.tie_word_embeddings,
              root.BoolOr("tie_word_embeddings", family->tie_word_embeddings));
  if (config.family == ModelFamily::kLlama) {
    MDSA_ASSIGN(config.attention_bias, root.BoolOr("attention_bias", false));
    MDSA_ASSIGN(config.mlp_bias, root.BoolOr("mlp_bias", false));
  }
  if (config.family == ModelFamily::kPhi) {
    MDSA_ASSIGN(config.qk_layernorm, root.BoolOr("qk_layernorm", false));
  }
  if (config.family != ModelFamily::kBert)
    MDSA_TRY(ParseHfRope(root, family->partial_rotary_factor, config));
  MDSA_TRY(ParseClassifier(root, config));
  MDSA_ASSIGN(config.stored_dtype, ParseStoredDType(root));
  MDSA_TRY(ParseTokenIds(root, generation_config_json, *family, config));
  MDSA_TRY(ValidateArchitectureConfig(config));
  return config;
}

}  // namespace mdsa
