// What a model is, read from config.json or GGUF metadata: one description for every family.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/dtype.h"
#include "mdsa/result.h"

namespace mdsa {

enum class ModelFamily : std::uint8_t { kBert, kLlama, kPhi };
std::string_view ModelFamilyName(ModelFamily family);  // "bert", "llama", "phi"

// Which of the heads the checkpoint was saved with (config.json "architectures").
enum class ModelHead : std::uint8_t {
  kNone,  // the bare encoder or decoder
  kCausalLm,
  kSequenceClassification,
};

enum class HiddenActivation : std::uint8_t { kGelu, kGeluTanh, kSilu, kRelu };

struct RopeScaling {
  enum class Type : std::uint8_t { kNone, kLinear, kDynamic, kLlama3, kYarn };
  Type type = Type::kNone;
  double factor = 1.0;
  double low_freq_factor = 1.0;   // llama3
  double high_freq_factor = 4.0;  // llama3
  std::int64_t original_max_position_embeddings = 0;
  double beta_fast = 32.0, beta_slow = 1.0;      // yarn
  std::optional<double> attention_factor;        // yarn
  std::optional<double> mscale, mscale_all_dim;  // yarn
  bool truncate = true;                          // yarn
};

// Every field is validated: positive sizes, hidden_size == heads * head_dim where a family needs
// it, heads % kv_heads == 0, known activation and rope type. Sizes are at most 2^31 - 1. A plain
// value. Thread-compatible.
struct ArchitectureConfig {
  ModelFamily family = ModelFamily::kLlama;
  ModelHead head = ModelHead::kNone;
  std::string architecture;  // as written, e.g. "LlamaForCausalLM"
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_position_embeddings = 0;  // context length
  double norm_eps = 1e-5;
  HiddenActivation activation = HiddenActivation::kSilu;
  bool tie_word_embeddings = false;
  bool attention_bias = false;  // llama: q, k, v and o
  bool mlp_bias = false;        // llama
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  std::int64_t rotary_dim = 0;          // dims of each head that are rotated
  bool qk_layernorm = false;            // phi
  std::int64_t type_vocab_size = 0;     // bert
  std::int64_t num_labels = 0;          // sequence classification
  std::vector<std::string> labels;      // id2label in order; "LABEL_0"... if absent
  bool classifier_multi_label = false;  // problem_type multi_label_classification
  std::optional<DType> stored_dtype;    // "dtype" or "torch_dtype"
  std::vector<std::int32_t> eos_token_ids;
  std::optional<std::int32_t> bos_token_id, pad_token_id;
};

// The rules above, for a description from any format. kInvalidFormat, with the fields by their
// config.json names.
Status ValidateArchitectureConfig(const ArchitectureConfig& config);

// The bounds that readers apply to what a file says, so that nothing later allocates by a claim.
inline constexpr std::int64_t kMaxModelSize = 2147483647;  // any one size
inline constexpr std::int64_t kMaxLayers = 10'000;
inline constexpr std::int64_t kMaxHeadDim = 4096;  // the largest in use is 256
inline constexpr std::int64_t kMaxLabels = 1'000'000;

// config.json of a Hugging Face folder. `generation_config_json` (may be empty) wins for eos ids.
// kInvalidFormat names the key and reason; kUnsupported names the family and lists what is
// supported.
Result<ArchitectureConfig> ParseHfConfig(std::string_view config_json,
                                         std::string_view generation_config_json = {});

}  // namespace mdsa
