#include "mdsa/model_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "hardware/device_name.h"
#include "models/json_text.h"

namespace mdsa {
namespace {

constexpr std::array<std::string_view, 3> kTierNames = {"tier1", "tier2", "tier3"};
constexpr std::array<std::string_view, 4> kTorchDtypes = {"auto", "float32", "float16", "bfloat16"};
// What the engine counts tokens and rows with.
constexpr std::int64_t kMaxCount = std::numeric_limits<std::int32_t>::max();

Status CheckCount(std::string_view field, std::int64_t value) {
  if (value >= 1 && value <= kMaxCount) return {};
  return Err(ErrorCode::kInvalidArgument, "{} must be from 1 to {}, not {}", field, kMaxCount,
             value);
}

// A zero byte would end the name early for the operating system, and so name another file.
Status CheckPath(std::string_view field, std::string_view value) {
  if (value.empty()) return Err(ErrorCode::kInvalidArgument, "{} must not be empty", field);
  if (value.find('\0') != std::string_view::npos) {
    return Err(ErrorCode::kInvalidArgument, "{} contains a zero byte", field);
  }
  return {};
}

Status CheckKwargs(const std::map<std::string, std::string>& kwargs) {
  for (const auto& [name, text] : kwargs) {
    if (auto value = ParseJsonText(text); !value) {
      return std::unexpected(
          std::move(value).error().AddContext(fmt::format("kwargs['{}']", name)));
    }
  }
  return {};
}

}  // namespace

std::string_view ModelTierName(ModelTier tier) {
  const auto index = static_cast<std::size_t>(tier);
  return index < kTierNames.size() ? kTierNames[index] : "unknown";
}

Result<ModelTier> ParseModelTier(std::string_view name) {
  const auto found = std::ranges::find(kTierNames, name);
  if (found == kTierNames.end()) {
    return Err(ErrorCode::kInvalidArgument, "unknown tier '{}'; known are {}", name,
               fmt::join(kTierNames, ", "));
  }
  return static_cast<ModelTier>(found - kTierNames.begin());
}

ModelConfig ModelConfig::ForTier1(std::string model_name) {
  ModelConfig config;
  config.model_name = std::move(model_name);
  config.tier = ModelTier::kTier1;
  config.device = "cpu";
  config.max_length = 128;
  return config;
}

ModelConfig ModelConfig::ForTier2(std::string model_name) {
  ModelConfig config;
  config.model_name = std::move(model_name);
  config.tier = ModelTier::kTier2;
  config.quantization = QuantizationType::kInt8;
  config.max_length = 512;
  return config;
}

ModelConfig ModelConfig::ForTier3(std::string model_name) {
  ModelConfig config;
  config.model_name = std::move(model_name);
  config.tier = ModelTier::kTier3;
  config.quantization = QuantizationType::kInt4;
  config.max_length = 2048;
  return config;
}

Status ModelConfig::Validate() const {
  MDSA_TRY(CheckPath("model_name", model_name));
  if (!ParseModelTier(ModelTierName(tier))) {
    return Err(ErrorCode::kInvalidArgument, "tier has no name: {}", static_cast<int>(tier));
  }
  if (auto name = ParseDeviceName(device); !name) {
    return std::unexpected(std::move(name).error().AddContext("device"));
  }
  if (!ParseQuantizationType(QuantizationTypeName(quantization))) {
    return Err(ErrorCode::kInvalidArgument, "quantization has no name: {}",
               static_cast<int>(quantization));
  }
  MDSA_TRY(CheckCount("max_length", max_length));
  MDSA_TRY(CheckCount("batch_size", batch_size));
  if (!std::isfinite(temperature) || temperature < 0) {
    return Err(ErrorCode::kInvalidArgument, "temperature must be a number from 0 up, not {}",
               temperature);
  }
  if (torch_dtype && std::ranges::find(kTorchDtypes, *torch_dtype) == kTorchDtypes.end()) {
    return Err(ErrorCode::kInvalidArgument, "unknown torch_dtype '{}'; known are {}", *torch_dtype,
               fmt::join(kTorchDtypes, ", "));
  }
  if (optimization_level < 0) {
    return Err(ErrorCode::kInvalidArgument, "optimization_level must not be negative, as {} is",
               optimization_level);
  }
  if (cache_dir) MDSA_TRY(CheckPath("cache_dir", *cache_dir));
  return CheckKwargs(kwargs);
}

}  // namespace mdsa
