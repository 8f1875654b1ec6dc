#include "models/parameter_count.h"

#include <array>
#include <charconv>
#include <cmath>

namespace mdsa {
namespace {

struct KnownModel {
  std::string_view name;
  std::int64_t parameters;
};
constexpr std::array<KnownModel, 3> kKnownModels = {{
    {kDefaultTier1Model, 67'000'000},
    {kDefaultTier2Model, 1'300'000'000},
    {"gpt2", 124'000'000},
}};

constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }
constexpr bool IsLetterOrDigit(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// A number at the start of `text`, which is cut off: digits, or digits '.' digits.
std::optional<double> TakeNumber(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && IsDigit(text[length])) ++length;
  if (length > 0 && length + 1 < text.size() && text[length] == '.' && IsDigit(text[length + 1])) {
    ++length;
    while (length < text.size() && IsDigit(text[length])) ++length;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + length, value);
  if (length == 0 || error != std::errc() || end != text.data() + length) return std::nullopt;
  text.remove_prefix(length);
  return value;
}

// "7b", "1.5B", "135M", "8x7B" at the start of `text` and not followed by a letter or digit.
std::optional<double> SizeAt(std::string_view text) {
  std::optional<double> size = TakeNumber(text);
  if (!size) return std::nullopt;
  if (!text.empty() && (text.front() == 'x' || text.front() == 'X')) {
    text.remove_prefix(1);
    const std::optional<double> each = TakeNumber(text);
    if (!each) return std::nullopt;
    *size *= *each;
  }
  if (text.empty() || (text.size() > 1 && IsLetterOrDigit(text[1]))) return std::nullopt;
  if (text.front() == 'b' || text.front() == 'B') return *size * 1e9;
  if (text.front() == 'm' || text.front() == 'M') return *size * 1e6;
  return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> ParameterCountInName(std::string_view model_name) {
  constexpr double kMost = 1e14;  // beyond is no model but a coincidence
  for (std::size_t i = 0; i < model_name.size(); ++i) {
    const bool starts_word =
        i == 0 || (!IsLetterOrDigit(model_name[i - 1]) && model_name[i - 1] != '.');
    if (!starts_word || !IsDigit(model_name[i])) continue;
    const std::optional<double> size = SizeAt(model_name.substr(i));
    if (size && *size >= 1 && *size <= kMost) return std::llround(*size);
  }
  return std::nullopt;
}

std::int64_t GuessParameterCount(std::string_view model_name, ModelTier tier) {
  for (const KnownModel& known : kKnownModels) {
    if (known.name == model_name) return known.parameters;
  }
  if (const auto parameters = ParameterCountInName(model_name)) return *parameters;
  switch (tier) {
    case ModelTier::kTier1:
      return 67'000'000;
    case ModelTier::kTier2:
      return 1'300'000'000;
    case ModelTier::kTier3:
      break;
  }
  return 7'000'000'000;
}

}  // namespace mdsa
