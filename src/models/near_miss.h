// Which of the known names a misspelt one may stand for.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mdsa {

// The nearest of `known` that at most two insertions, deletions or replacements of single
// characters make of `name`, and not all of it; of equally near ones the first.
std::optional<std::string_view> NearMiss(std::string_view name,
                                         std::span<const std::string_view> known);

// "; did you mean 'x'?", or else "; known are x, y, z".
std::string Suggestion(std::string_view name, std::span<const std::string_view> known);

}  // namespace mdsa
