#include "formats/hf_rope.h"

#include <optional>
#include <string_view>

#include "base/error.h"
#include "formats/printable.h"

namespace mdsa {
namespace {

constexpr double kDefaultRopeTheta = 10000.0;

Result<RopeScaling::Type> ParseRopeType(const JsonObject& parameters) {
  MDSA_ASSIGN(auto name, parameters.String("rope_type"));
  if (!name) {
    MDSA_ASSIGN(name, parameters.String("type"));
  }
  if (!name || *name == "default") return RopeScaling::Type::kNone;
  if (*name == "linear") return RopeScaling::Type::kLinear;
  if (*name == "dynamic") return RopeScaling::Type::kDynamic;
  if (*name == "llama3") return RopeScaling::Type::kLlama3;
  if (*name == "yarn") return RopeScaling::Type::kYarn;
  return Err(ErrorCode::kUnsupported,
             "rope_type {} is not supported; supported are default, linear, dynamic, llama3, yarn",
             Printable(*name));
}

Result<double> RequiredNumber(const JsonObject& object, std::string_view key) {
  MDSA_ASSIGN(const auto value, object.Number(key));
  if (!value) {
    return Err(ErrorCode::kInvalidFormat, "{} is missing; this rope_type needs it",
               object.Where(key));
  }
  return *value;
}

Status ParseYarn(const JsonObject& parameters, RopeScaling& scaling) {
  // transformers takes 0 for absent in these two.
  const auto or_default = [](double value, double absent) { return value == 0 ? absent : value; };
  MDSA_ASSIGN(const double beta_fast, parameters.NumberOr("beta_fast", 0));
  MDSA_ASSIGN(const double beta_slow, parameters.NumberOr("beta_slow", 0));
  scaling.beta_fast = or_default(beta_fast, 32);
  scaling.beta_slow = or_default(beta_slow, 1);
  MDSA_ASSIGN(scaling.attention_factor, parameters.Number("attention_factor"));
  MDSA_ASSIGN(scaling.mscale, parameters.Number("mscale"));
  MDSA_ASSIGN(scaling.mscale_all_dim, parameters.Number("mscale_all_dim"));
  MDSA_ASSIGN(scaling.truncate, parameters.BoolOr("truncate", true));
  return {};
}

Status ParseRopeScaling(const JsonObject& root, const JsonObject& parameters,
                        ArchitectureConfig& config) {
  RopeScaling& scaling = config.rope_scaling;
  using Type = RopeScaling::Type;
  MDSA_ASSIGN(scaling.type, ParseRopeType(parameters));
  if (scaling.type == Type::kNone) return {};
  if (scaling.type == Type::kLlama3 || scaling.type == Type::kYarn) {
    constexpr std::string_view kKey = "original_max_position_embeddings";
    MDSA_ASSIGN(auto original, root.Integer(kKey, 1, kMaxModelSize));
    if (!original) {
      MDSA_ASSIGN(original, parameters.Integer(kKey, 1, kMaxModelSize));
    }
    scaling.original_max_position_embeddings = original.value_or(config.max_position_embeddings);
  }
  if (scaling.type == Type::kYarn) {
    const double ratio = static_cast<double>(config.max_position_embeddings) /
                         static_cast<double>(scaling.original_max_position_embeddings);
    MDSA_ASSIGN(scaling.factor, parameters.NumberOr("factor", ratio));
    return ParseYarn(parameters, scaling);
  }
  MDSA_ASSIGN(scaling.factor, RequiredNumber(parameters, "factor"));
  if (scaling.type == Type::kLlama3) {
    MDSA_ASSIGN(scaling.low_freq_factor, RequiredNumber(parameters, "low_freq_factor"));
    MDSA_ASSIGN(scaling.high_freq_factor, RequiredNumber(parameters, "high_freq_factor"));
  }
  return {};
}

}  // namespace

Status ParseHfRope(const JsonObject& root, double default_partial_rotary_factor,
                   ArchitectureConfig& config) {
  MDSA_ASSIGN(auto parameters, root.Object("rope_scaling"));
  if (!parameters || parameters->raw().size() == 0) {
    MDSA_ASSIGN(parameters, root.Object("rope_parameters"));
  }
  MDSA_ASSIGN(config.rope_theta, root.NumberOr("rope_theta", kDefaultRopeTheta));
  MDSA_ASSIGN(double partial,
              root.NumberOr("partial_rotary_factor", default_partial_rotary_factor));
  if (parameters) {
    MDSA_ASSIGN(config.rope_theta, parameters->NumberOr("rope_theta", config.rope_theta));
    MDSA_ASSIGN(partial, parameters->NumberOr("partial_rotary_factor", partial));
    MDSA_TRY(ParseRopeScaling(root, *parameters, config));
  }
  if (!(partial > 0 && partial <= 1)) {
    return Err(ErrorCode::kInvalidFormat, "partial_rotary_factor is {}, outside (0, 1]", partial);
  }
  if (config.family == ModelFamily::kLlama && partial != 1) {
    return Err(ErrorCode::kUnsupported, "partial_rotary_factor {} is not supported for llama",
               partial);
  }
  config.rotary_dim = static_cast<std::int64_t>(static_cast<double>(config.head_dim) * partial);
  return {};
}

}  // namespace mdsa
