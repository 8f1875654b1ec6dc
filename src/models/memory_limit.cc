#include "mdsa/memory_limit.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "formats/printable.h"
#include "models/quantity.h"

namespace mdsa {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 63;

struct Unit {
  std::string_view name;  // in lower case
  std::uint64_t bytes;
};
constexpr std::array kUnits = {
    Unit{"", 1},
    Unit{"b", 1},
    Unit{"kb", 1'000},
    Unit{"mb", 1'000'000},
    Unit{"gb", 1'000'000'000},
    Unit{"tb", 1'000'000'000'000},
    Unit{"kib", std::uint64_t{1} << 10},
    Unit{"mib", std::uint64_t{1} << 20},
    Unit{"gib", std::uint64_t{1} << 30},
    Unit{"tib", std::uint64_t{1} << 40},
};

char LowerCase(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::optional<std::uint64_t> ParseBytes(const Quantity& quantity) {
  const auto unit = std::ranges::find_if(kUnits, [&](const Unit& known) {
    return std::ranges::equal(known.name, quantity.unit, {}, {}, LowerCase);
  });
  if (unit == kUnits.end()) return std::nullopt;
  // A part of a byte; most likely a share was meant.
  const bool is_whole = quantity.number.find('.') == std::string_view::npos;
  if (unit->bytes == 1 && !is_whole) return std::nullopt;
  const auto bytes = ScaledNumber(quantity.number, unit->bytes);
  if (!bytes || *bytes == 0 || *bytes > kMaxBytes) return std::nullopt;
  return bytes;
}

// "70" -> 0.7. The exponent instead of a division: the result is the double next to the share, so
// that ToString finds the digits again.
std::optional<double> ParsePercent(std::string_view number) {
  const std::string text = std::string(number) + "e-2";
  double share = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), share);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return share;
}

// The shortest digits that ParsePercent reads as `share`.
std::string PercentText(double share) {
  std::array<char, 512> buffer;  // the smallest double has 324 decimals, and at most 17 digits
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), share, std::chars_format::fixed);
  MDSA_CHECK(error == std::errc());
  std::string digits(buffer.data(), end);
  const std::size_t point = std::min(digits.find('.'), digits.size());
  if (point < digits.size()) digits.erase(point, 1);
  while (digits.size() < point + 2) digits += '0';
  if (digits.size() > point + 2) digits.insert(point + 2, 1, '.');
  // "0.07" is "007" here; one digit stays before a point.
  const std::size_t before_point = std::min(digits.find('.'), digits.size());
  digits.erase(0, std::min(digits.find_first_not_of('0'), before_point - 1));
  return digits + "%";
}

}  // namespace

Result<MemoryLimit> MemoryLimit::Share(double share) {
  if (share > 0.0 && share <= 1.0) return MemoryLimit(share);
  return Err(ErrorCode::kInvalidArgument,
             "a share of the memory must be above 0 and at most 1, not {}", share);
}

Result<MemoryLimit> MemoryLimit::Parse(std::string_view text) {
  if (const auto quantity = SplitQuantity(text)) {
    if (quantity->unit == "%") {
      if (const auto share = ParsePercent(quantity->number)) {
        if (auto limit = Share(*share)) return limit;
      }
    } else if (const auto bytes = ParseBytes(*quantity)) {
      return Bytes(*bytes);
    }
  }
  return Err(ErrorCode::kInvalidArgument,
             "{} is no limit of memory; expected are more than 0 bytes and at most 2^63, such as "
             "\"750MB\", \"6.5 GiB\" or \"4096\" (bytes), or a share such as \"70%\", at most "
             "\"100%\"",
             Printable(text));
}

Result<std::uint64_t> MemoryLimit::Resolve(std::uint64_t total_bytes) const {
  if (const auto* bytes = std::get_if<std::uint64_t>(&value_)) return *bytes;
  const double share = std::get<double>(value_);
  if (total_bytes == 0) {
    return Err(
        ErrorCode::kFailedPrecondition,
        "{} of the memory is no number of bytes where the system does not say how much there "
        "is; give the limit in bytes",
        ToString());
  }
  if (share == 1.0) return total_bytes;
  // Below 2^64: a share below 1 is at most 1 - 2^-53.
  const double bytes = std::round(share * static_cast<double>(total_bytes));
  return std::clamp<std::uint64_t>(static_cast<std::uint64_t>(bytes), 1, total_bytes);
}

std::string MemoryLimit::ToString() const {
  if (const auto* bytes = std::get_if<std::uint64_t>(&value_)) return std::to_string(*bytes);
  return PercentText(std::get<double>(value_));
}

}  // namespace mdsa
