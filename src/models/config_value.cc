#include "models/config_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "formats/printable.h"
#include "hardware/device_name.h"
#include "models/quantity.h"

namespace mdsa {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds kMaxDuration = std::chrono::hours(24 * 36525);
constexpr std::string_view kDurationExamples =
    "a duration such as \"500ms\", \"30s\", \"10m\", \"2h\" or a number of seconds, from 0 to 100 "
    "years";

struct Unit {
  std::string_view name;
  nanoseconds length;
};
constexpr std::array kUnits = {
    Unit{"ms", std::chrono::milliseconds(1)},
    Unit{"s", std::chrono::seconds(1)},
    Unit{"m", std::chrono::minutes(1)},
    Unit{"h", std::chrono::hours(1)},
};

std::string Describe(const TomlValue& value) {
  if (const auto* text = value.As<std::string>()) return "the text " + Printable(*text);
  if (const auto* whole = value.As<std::int64_t>()) return fmt::format("{}", *whole);
  if (const auto* real = value.As<double>()) return fmt::format("{}", *real);
  if (const auto* boolean = value.As<bool>()) return *boolean ? "true" : "false";
  if (value.As<TomlArray>() != nullptr) return "an array";
  if (value.As<TomlTable>() != nullptr) return "a table";
  return "a date or time";
}

std::optional<nanoseconds> ParseDuration(std::string_view text) {
  const auto quantity = SplitQuantity(text);
  if (!quantity) return std::nullopt;
  const auto unit = std::ranges::find(kUnits, quantity->unit, &Unit::name);
  if (unit == kUnits.end()) return std::nullopt;
  const auto count =
      ScaledNumber(quantity->number, static_cast<std::uint64_t>(unit->length.count()));
  if (!count || *count > static_cast<std::uint64_t>(kMaxDuration.count())) return std::nullopt;
  return nanoseconds(static_cast<std::int64_t>(*count));
}

std::optional<nanoseconds> DurationOf(const TomlValue& value) {
  if (const auto* text = value.As<std::string>()) return ParseDuration(*text);
  const auto* whole = value.As<std::int64_t>();
  const auto* real = value.As<double>();
  if (whole == nullptr && real == nullptr) return std::nullopt;
  constexpr double kMaxSeconds = std::chrono::duration<double>(kMaxDuration).count();
  const double seconds = whole != nullptr ? static_cast<double>(*whole) : *real;
  if (!(seconds >= 0.0 && seconds <= kMaxSeconds)) return std::nullopt;  // NaN is neither
  if (whole != nullptr) return std::chrono::seconds(*whole);
  return nanoseconds(std::llround(seconds * 1e9));
}

}  // namespace

std::unexpected<TomlProblem> Unexpected(const TomlValue& value, std::string_view expected) {
  return std::unexpected(
      TomlProblem{value.position, fmt::format("must be {}, not {}", expected, Describe(value))});
}

std::unexpected<TomlProblem> ProblemOf(const TomlValue& value, const Error& error) {
  constexpr std::size_t kMaxBytes = 500;
  return std::unexpected(TomlProblem{value.position, PrintableText(error.ToString(), kMaxBytes)});
}

ReadValue<std::int64_t> ReadAtLeast(const TomlValue& value, std::int64_t min) {
  const auto* number = value.As<std::int64_t>();
  if (number != nullptr && *number >= min) return *number;
  return Unexpected(value, fmt::format("a whole number of at least {}", min));
}

ReadValue<std::int64_t> ReadCount(const TomlValue& value) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
  const auto* number = value.As<std::int64_t>();
  if (number != nullptr && *number >= 1 && *number <= kMax) return *number;
  return Unexpected(value, fmt::format("a whole number from 1 to {}", kMax));
}

ReadValue<double> ReadNumber(const TomlValue& value) {
  const auto* whole = value.As<std::int64_t>();
  const auto* real = value.As<double>();
  if (whole != nullptr && *whole >= 0) return static_cast<double>(*whole);
  if (real != nullptr && std::isfinite(*real) && *real >= 0.0) return *real;
  return Unexpected(value, "a number from 0 up");
}

ReadValue<bool> ReadBool(const TomlValue& value) {
  if (const auto* boolean = value.As<bool>()) return *boolean;
  return Unexpected(value, "true or false");
}

ReadValue<std::string> ReadText(const TomlValue& value) {
  if (const auto* text = value.As<std::string>()) return *text;
  return Unexpected(value, "a text");
}

ReadValue<std::string> ReadName(const TomlValue& value) {
  const auto* text = value.As<std::string>();
  if (text != nullptr && !text->empty() && !HasControlCharacters(*text)) return *text;
  return Unexpected(value, "a text that is not empty and has no control characters");
}

ReadValue<nanoseconds> ReadDuration(const TomlValue& value) {
  if (const auto duration = DurationOf(value)) return *duration;
  return Unexpected(value, kDurationExamples);
}

ReadValue<std::optional<nanoseconds>> ReadTimeToLive(const TomlValue& value) {
  const auto* text = value.As<std::string>();
  if (text != nullptr && *text == "forever") return std::nullopt;
  if (const auto duration = DurationOf(value)) return duration;
  return Unexpected(value, fmt::format("{}, or \"forever\"", kDurationExamples));
}

ReadValue<MemoryLimit> ReadMemoryLimit(const TomlValue& value) {
  const auto* text = value.As<std::string>();
  const auto* bytes = value.As<std::int64_t>();
  if (text == nullptr && bytes == nullptr) {
    return Unexpected(value, "a text such as \"8GB\" or \"70%\", or a whole number of bytes");
  }
  auto limit = MemoryLimit::Parse(text != nullptr ? *text : std::to_string(*bytes));
  if (!limit) return ProblemOf(value, limit.error());
  return *limit;
}

ReadValue<ModelTier> ReadTier(const TomlValue& value) {
  const auto* number = value.As<std::int64_t>();
  const auto* text = value.As<std::string>();
  const auto tier = ParseModelTier(number != nullptr ? fmt::format("tier{}", *number)
                                   : text != nullptr ? *text
                                                     : std::string());
  if (tier) return *tier;
  return Unexpected(value, "1, 2, 3, \"tier1\", \"tier2\" or \"tier3\"");
}

ReadValue<QuantizationType> ReadQuantization(const TomlValue& value) {
  const auto* text = value.As<std::string>();
  if (text == nullptr) return Unexpected(value, "a text");
  const auto type = ParseQuantizationType(*text);
  if (!type) return ProblemOf(value, type.error());
  return *type;
}

ReadValue<std::string> ReadDevice(const TomlValue& value) {
  const auto* text = value.As<std::string>();
  if (text == nullptr) return Unexpected(value, "a text");
  if (const auto name = ParseDeviceName(*text); !name) return ProblemOf(value, name.error());
  return *text;
}

ReadValue<std::string> ReadTorchDtype(const TomlValue& value) {
  const auto* text = value.As<std::string>();
  if (text == nullptr) return Unexpected(value, "a text");
  ModelConfig probe;
  probe.model_name = "any";
  probe.torch_dtype = *text;
  if (const Status valid = probe.Validate(); !valid) return ProblemOf(value, valid.error());
  return *text;
}

}  // namespace mdsa
