#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/error.h"
#include "mdsa/model_config.h"
#include "models/json_text.h"

namespace mdsa {
namespace {

std::unexpected<Error> WrongType(const Json& value, std::string_view expected) {
  return Err(ErrorCode::kInvalidArgument, "must be {}, not {}", expected, value.type_name());
}

Status Read(const Json& value, std::string& field) {
  if (!value.is_string()) return WrongType(value, "a string");
  field = value.get<std::string>();
  return {};
}

Status Read(const Json& value, std::optional<std::string>& field) {
  field.reset();
  if (value.is_null()) return {};
  if (!value.is_string()) return WrongType(value, "a string or null");
  field = value.get<std::string>();
  return {};
}

Status Read(const Json& value, bool& field) {
  if (!value.is_boolean()) return WrongType(value, "true or false");
  field = value.get<bool>();
  return {};
}

Status Read(const Json& value, std::int64_t& field) {
  if (!value.is_number_integer()) {
    return WrongType(value, "an integer");
  }
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > kMax) {
    return Err(ErrorCode::kInvalidArgument, "must be at most {}", kMax);
  }
  field = value.get<std::int64_t>();
  return {};
}

Status Read(const Json& value, double& field) {
  if (!value.is_number()) return WrongType(value, "a number");
  field = value.get<double>();
  return {};
}

Status Read(const Json& value, ModelTier& field) {
  if (!value.is_string()) return WrongType(value, "a string");
  MDSA_ASSIGN(field, ParseModelTier(value.get_ref<const std::string&>()));
  return {};
}

Status Read(const Json& value, QuantizationType& field) {
  if (!value.is_string()) return WrongType(value, "a string");
  MDSA_ASSIGN(field, ParseQuantizationType(value.get_ref<const std::string&>()));
  return {};
}

Status Read(const Json& value, std::map<std::string, std::string>& field) {
  if (!value.is_object()) return WrongType(value, "an object");
  field.clear();
  for (const auto& [name, member] : value.items()) field[name] = member.dump();
  return {};
}

using OrderedJson = nlohmann::ordered_json;  // fields in the order of the struct

struct Field {
  std::string_view name;
  Status (*read)(const Json& value, ModelConfig& config);
};

template <auto kMember>
constexpr Field FieldOf(std::string_view name) {
  return {name,
          [](const Json& value, ModelConfig& config) { return Read(value, config.*kMember); }};
}

constexpr std::array kFields = {
    FieldOf<&ModelConfig::model_name>("model_name"),
    FieldOf<&ModelConfig::tier>("tier"),
    FieldOf<&ModelConfig::device>("device"),
    FieldOf<&ModelConfig::quantization>("quantization"),
    FieldOf<&ModelConfig::max_length>("max_length"),
    FieldOf<&ModelConfig::batch_size>("batch_size"),
    FieldOf<&ModelConfig::temperature>("temperature"),
    FieldOf<&ModelConfig::use_cache>("use_cache"),
    FieldOf<&ModelConfig::trust_remote_code>("trust_remote_code"),
    FieldOf<&ModelConfig::torch_dtype>("torch_dtype"),
    FieldOf<&ModelConfig::compile_model>("compile_model"),
    FieldOf<&ModelConfig::optimization_level>("optimization_level"),
    FieldOf<&ModelConfig::cache_dir>("cache_dir"),
    FieldOf<&ModelConfig::kwargs>("kwargs"),
};

OrderedJson OrNull(const std::optional<std::string>& text) {
  return text ? OrderedJson(*text) : OrderedJson(nullptr);
}

}  // namespace

std::string ModelConfig::ToJson() const {
  OrderedJson json;
  json["model_name"] = model_name;
  json["tier"] = ModelTierName(tier);
  json["device"] = device;
  json["quantization"] = QuantizationTypeName(quantization);
  json["max_length"] = max_length;
  json["batch_size"] = batch_size;
  json["temperature"] = temperature;
  json["use_cache"] = use_cache;
  json["trust_remote_code"] = trust_remote_code;
  json["torch_dtype"] = OrNull(torch_dtype);
  json["compile_model"] = compile_model;
  json["optimization_level"] = optimization_level;
  json["cache_dir"] = OrNull(cache_dir);
  Json values = Json::object();
  for (const auto& [name, text] : kwargs) {
    // A config that was never validated may hold anything: what is no JSON is shown as a string.
    values[name] = ParseJsonText(text).value_or(Json(text));
  }
  json["kwargs"] = std::move(values);
  // A file name need not be UTF-8, but JSON must be.
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

Result<ModelConfig> ModelConfig::FromJson(std::string_view text) {
  // A value of kwargs lies two levels down.
  MDSA_ASSIGN(const Json json, ParseJsonText(text, kMaxJsonDepth + 2));
  if (!json.is_object()) return WrongType(json, "a JSON object");
  ModelConfig config;
  for (const auto& [key, value] : json.items()) {
    const auto field =
        std::find_if(kFields.begin(), kFields.end(), [&](const Field& f) { return f.name == key; });
    if (field == kFields.end()) {
      return Err(ErrorCode::kInvalidArgument, "unknown key '{}' in a model config", key);
    }
    if (auto status = field->read(value, config); !status) {
      return std::unexpected(std::move(status).error().AddContext(key));
    }
  }
  if (!json.contains("model_name")) {
    return Err(ErrorCode::kInvalidArgument, "the key 'model_name' is missing in a model config");
  }
  MDSA_TRY(config.Validate());
  return config;
}

}  // namespace mdsa
