// How many parameters a model has by its name alone, for estimates without a file at hand.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "mdsa/model_config.h"

namespace mdsa {

// The size that a name states: "Llama-2-7b-hf" 7e9, "SmolLM2-135M-Instruct" 135e6, "Mixtral-8x7B"
// 56e9. The number must stand apart from other letters and digits: "4bit" states none.
std::optional<std::int64_t> ParameterCountInName(std::string_view model_name);

// Of the presets and models as well known, else by name, else what is usual for the tier.
std::int64_t GuessParameterCount(std::string_view model_name, ModelTier tier);

}  // namespace mdsa
