#include "models/quantity.h"

#include <algorithm>
#include <cstddef>

#include "base/checked_math.h"

namespace mdsa {
namespace {

constexpr std::string_view kBlanks = " \t";
constexpr std::string_view kDigits = "0123456789";

std::size_t CountDigits(std::string_view text) {
  const std::size_t end = text.find_first_not_of(kDigits);
  return end == std::string_view::npos ? text.size() : end;
}

std::uint64_t Digit(char c) { return static_cast<std::uint64_t>(c - '0'); }

// 0.<digits> * unit, rounded down. From the last digit to the first: dividing whole numbers step
// by step rounds down as one division would, and no sum exceeds 10 * unit.
std::uint64_t ScaledFraction(std::string_view digits, std::uint64_t unit) {
  __extension__ using Wide = unsigned __int128;
  Wide scaled = 0;
  for (std::size_t i = digits.size(); i > 0; --i) {
    scaled = (Wide{Digit(digits[i - 1])} * unit + scaled) / 10;
  }
  return static_cast<std::uint64_t>(scaled);
}

}  // namespace

std::optional<Quantity> SplitQuantity(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  text = text.substr(0, text.find_last_not_of(kBlanks) + 1);  // npos + 1 is 0
  std::size_t length = CountDigits(text);
  if (length == 0) return std::nullopt;
  if (length < text.size() && text[length] == '.') {
    const std::size_t decimals = CountDigits(text.substr(length + 1));
    if (decimals == 0) return std::nullopt;
    length += 1 + decimals;
  }
  std::string_view unit = text.substr(length);
  unit.remove_prefix(std::min(unit.find_first_not_of(kBlanks), unit.size()));
  return Quantity{text.substr(0, length), unit};
}

std::optional<std::uint64_t> ScaledNumber(std::string_view number, std::uint64_t unit) {
  const std::size_t point = number.find('.');
  std::uint64_t whole = 0;
  for (char c : number.substr(0, point)) {
    const auto shifted = CheckedMul<std::uint64_t>(whole, 10);
    const auto sum = shifted ? CheckedAdd(*shifted, Digit(c)) : std::nullopt;
    if (!sum) return std::nullopt;
    whole = *sum;
  }
  const auto scaled = CheckedMul(whole, unit);
  if (!scaled || point == std::string_view::npos) return scaled;
  return CheckedAdd(*scaled, ScaledFraction(number.substr(point + 1), unit));
}

}  // namespace mdsa
