// What to load and how: the specification of one model.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "mdsa/result.h"

namespace mdsa {

enum class ModelTier : std::uint8_t {
  kTier1,  // a small encoder that classifies
  kTier2,  // a small general model
  kTier3,  // a domain model
};

enum class QuantizationType : std::uint8_t {
  kNone,  // as stored in the checkpoint
  kInt4,  // NF4 with double quantization, blocks of 64
  kInt8,  // the weights of LLM.int8(); no activation is rounded to 8 bits
  kFp16,
  kBFloat16,
};

// "tier1"...; "none", "int4", "int8", "fp16", "bfloat16".
std::string_view ModelTierName(ModelTier tier);
std::string_view QuantizationTypeName(QuantizationType quantization);
// kInvalidArgument lists the names.
Result<ModelTier> ParseModelTier(std::string_view name);
Result<QuantizationType> ParseQuantizationType(std::string_view name);

inline constexpr std::string_view kDefaultTier1Model = "huawei-noah/TinyBERT_General_6L_768D";
inline constexpr std::string_view kDefaultTier2Model = "microsoft/phi-1_5";

// A plain value. Thread-compatible.
struct ModelConfig {
  std::string model_name;  // directory, GGUF file or Hub id
  ModelTier tier = ModelTier::kTier3;
  std::string device = "auto";  // "auto", "cpu", "cuda", "cuda:N", "mps"
  QuantizationType quantization = QuantizationType::kNone;
  // Tokens of prompt and answer together, 1 to 2^31 - 1; capped by the model's context.
  std::int64_t max_length = 512;
  std::int64_t batch_size = 1;  // texts per forward pass of embed and classify, 1 to 2^31 - 1
  double temperature = 0.7;     // of sampled generation in Python; GenerationOptions has its own
  bool use_cache = true;        // accepted for compatibility: keys and values are always kept
  bool trust_remote_code =
      false;  // accepted for compatibility; code from a checkpoint is never run
  // Storage of tensors that the quantization leaves alone: "auto" (as stored, fp32 matrices become
  // bfloat16 in a quantized model), "float32", "float16" or "bfloat16".
  std::optional<std::string> torch_dtype;
  bool compile_model = false;           // accepted for compatibility, no effect
  std::int64_t optimization_level = 1;  // accepted for compatibility, no effect
  std::optional<std::string> cache_dir;
  std::map<std::string, std::string>
      kwargs;  // name -> JSON text, kept and reported, not interpreted

  // The presets: CPU, no quantization, 128 tokens; INT8, 512; INT4, 2048.
  static ModelConfig ForTier1(std::string model_name = std::string(kDefaultTier1Model));
  static ModelConfig ForTier2(std::string model_name = std::string(kDefaultTier2Model));
  static ModelConfig ForTier3(std::string model_name);

  // kInvalidArgument naming the field. Does not look at the machine or the file system.
  Status Validate() const;

  // One JSON object with all fields, enums by name.
  std::string ToJson() const;
  // Takes what ToJson gives for a valid config; an absent key keeps its default, but model_name is
  // needed. kInvalidArgument names the unknown key, the key of the wrong type or value, or the byte
  // where the text is no JSON. The result is valid.
  static Result<ModelConfig> FromJson(std::string_view json);

  bool operator==(const ModelConfig&) const = default;
};

}  // namespace mdsa
