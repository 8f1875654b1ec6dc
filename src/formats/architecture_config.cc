#include "formats/architecture_config.h"

#include <cmath>

#include "base/error.h"

namespace mdsa {
namespace {

Status CheckSize(std::string_view field, std::int64_t value, std::int64_t max = kMaxModelSize) {
  if (value < 1 || value > max) {
    return Err(ErrorCode::kInvalidFormat, "{} is {}, outside 1..{}", field, value, max);
  }
  return {};
}

Status CheckPositive(std::string_view field, double value) {
  if (!std::isfinite(value) || value <= 0) {
    return Err(ErrorCode::kInvalidFormat, "{} is {}, not a positive number", field, value);
  }
  return {};
}

Status CheckRopeScaling(const RopeScaling& scaling, double theta) {
  if (scaling.type == RopeScaling::Type::kNone) return {};
  MDSA_TRY(CheckPositive("rope scaling 'factor'", scaling.factor));
  const bool llama3 = scaling.type == RopeScaling::Type::kLlama3;
  const bool yarn = scaling.type == RopeScaling::Type::kYarn;
  if (llama3 || yarn) {
    MDSA_TRY(CheckSize("rope scaling 'original_max_position_embeddings'",
                       scaling.original_max_position_embeddings));
  }
  if (llama3) {
    MDSA_TRY(CheckPositive("rope scaling 'low_freq_factor'", scaling.low_freq_factor));
    MDSA_TRY(CheckPositive("rope scaling 'high_freq_factor'", scaling.high_freq_factor));
    if (scaling.high_freq_factor <= scaling.low_freq_factor) {
      return Err(ErrorCode::kInvalidFormat,
                 "rope scaling 'high_freq_factor' {} is not above 'low_freq_factor' {}",
                 scaling.high_freq_factor, scaling.low_freq_factor);
    }
  }
  if (yarn) {
    MDSA_TRY(CheckPositive("rope scaling 'beta_fast'", scaling.beta_fast));
    MDSA_TRY(CheckPositive("rope scaling 'beta_slow'", scaling.beta_slow));
    if (scaling.attention_factor) {
      MDSA_TRY(CheckPositive("rope scaling 'attention_factor'", *scaling.attention_factor));
    }
    for (const auto& mscale : {scaling.mscale, scaling.mscale_all_dim}) {
      if (mscale && !std::isfinite(*mscale)) {
        return Err(ErrorCode::kInvalidFormat, "rope scaling 'mscale' is {}", *mscale);
      }
    }
    if (theta <= 1) {  // the formula divides by log(theta)
      return Err(ErrorCode::kInvalidFormat, "rope_theta is {}; yarn needs more than 1", theta);
    }
  }
  return {};
}

Status CheckRope(const ArchitectureConfig& config) {
  MDSA_TRY(CheckPositive("rope_theta", config.rope_theta));
  if (config.rotary_dim < 2 || config.rotary_dim > config.head_dim || config.rotary_dim % 2 != 0) {
    return Err(ErrorCode::kInvalidFormat,
               "{} of {} dimensions of a head are rotated; the number must be even, from 2 to the "
               "head's (check head_dim and partial_rotary_factor)",
               config.rotary_dim, config.head_dim);
  }
  if (config.rope_scaling.type == RopeScaling::Type::kDynamic && config.rotary_dim == 2) {
    // The exponent of the formula is d / (d - 2).
    return Err(ErrorCode::kInvalidFormat, "dynamic rope scaling needs more than 2 rotated dims");
  }
  return CheckRopeScaling(config.rope_scaling, config.rope_theta);
}

}  // namespace

std::string_view ModelFamilyName(ModelFamily family) {
  switch (family) {
    case ModelFamily::kBert:
      return "bert";
    case ModelFamily::kLlama:
      return "llama";
    case ModelFamily::kPhi:
      return "phi";
  }
  return "unknown";
}

Status ValidateArchitectureConfig(const ArchitectureConfig& config) {
  MDSA_TRY(CheckSize("vocab_size", config.vocab_size));
  MDSA_TRY(CheckSize("hidden_size", config.hidden_size));
  MDSA_TRY(CheckSize("intermediate_size", config.intermediate_size));
  MDSA_TRY(CheckSize("num_hidden_layers", config.num_layers, kMaxLayers));
  MDSA_TRY(CheckSize("num_attention_heads", config.num_heads));
  MDSA_TRY(CheckSize("num_key_value_heads", config.num_kv_heads));
  MDSA_TRY(CheckSize("head_dim", config.head_dim, kMaxHeadDim));
  MDSA_TRY(CheckSize("max_position_embeddings", config.max_position_embeddings));
  if (config.num_heads % config.num_kv_heads != 0) {
    return Err(ErrorCode::kInvalidFormat,
               "num_attention_heads {} is not a multiple of num_key_value_heads {}",
               config.num_heads, config.num_kv_heads);
  }
  MDSA_TRY(CheckSize("num_attention_heads * head_dim", config.num_heads * config.head_dim));
  if (!std::isfinite(config.norm_eps) || config.norm_eps < 0) {
    return Err(ErrorCode::kInvalidFormat, "the norm's epsilon is {}", config.norm_eps);
  }
  if (config.family != ModelFamily::kBert) return CheckRope(config);
  MDSA_TRY(CheckSize("type_vocab_size", config.type_vocab_size));
  if (config.num_heads * config.head_dim != config.hidden_size) {
    return Err(ErrorCode::kInvalidFormat,
               "hidden_size {} is not num_attention_heads {} times head_dim {}", config.hidden_size,
               config.num_heads, config.head_dim);
  }
  return {};
}

}  // namespace mdsa
