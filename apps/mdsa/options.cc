#include "options.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <system_error>

namespace mdsa::cli {
namespace {

template <typename T>
std::optional<T> Parse(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

CLI::Validator Check(std::function<std::string(std::string&)> check) {
  return CLI::Validator(std::move(check), "");
}

}  // namespace

void ProtectBrackets(std::vector<std::string>& arguments) {
  for (std::string& argument : arguments) {
    if (argument.starts_with('[') && argument.ends_with(']')) argument.push_back('\0');
  }
}

CLI::Option* AsWritten(CLI::Option* option) {
  return option->transform(Check([](std::string& text) {
    if (text.ends_with('\0')) text.pop_back();
    return std::string();
  }));
}

CLI::Validator Whole(std::int64_t min, std::int64_t max) {
  return Check([min, max](std::string& text) {
    const auto value = Parse<std::int64_t>(text);
    if (value && *value >= min && *value <= max) return std::string();
    if (max == std::numeric_limits<std::int64_t>::max()) {
      return fmt::format("must be a whole number of at least {}, not '{}'", min, text);
    }
    return fmt::format("must be a whole number from {} to {}, not '{}'", min, max, text);
  });
}

CLI::Validator Real(RealRange range) {
  return Check([range](std::string& text) {
    const auto value = Parse<double>(text);
    const bool high_enough =
        value && (range.min_excluded ? *value > range.min : *value >= range.min);
    const bool low_enough =
        value && (range.max_excluded ? *value < range.max : *value <= range.max);
    if (high_enough && low_enough && std::isfinite(*value)) return std::string();
    const std::string low =
        fmt::format("{} {}", range.min_excluded ? "above" : "at least", range.min);
    if (std::isinf(range.max)) return fmt::format("must be a number {}, not '{}'", low, text);
    return fmt::format("must be a number {} and {} {}, not '{}'", low,
                       range.max_excluded ? "below" : "at most", range.max, text);
  });
}

void AddJsonFlag(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "Print one JSON object, errors included");
}

}  // namespace mdsa::cli
