// Names of the quantization types of include/mdsa/model_config.h. Here, because the engine reports
// them and stands below the layer that reads the rest of a ModelConfig.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/error.h"
#include "mdsa/model_config.h"

namespace mdsa {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"none", "int4", "int8", "fp16", "bfloat16"};

}  // namespace

std::string_view QuantizationTypeName(QuantizationType quantization) {
  const auto index = static_cast<std::size_t>(quantization);
  return index < kNames.size() ? kNames[index] : "unknown";
}

Result<QuantizationType> ParseQuantizationType(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) {
    return Err(ErrorCode::kInvalidArgument, "unknown quantization '{}'; known are {}", name,
               fmt::join(kNames, ", "));
  }
  return static_cast<QuantizationType>(found - kNames.begin());
}

}  // namespace mdsa
