#include "models/near_miss.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

namespace mdsa {
namespace {

constexpr std::size_t kMaxDistance = 2;

// Levenshtein's, row by row.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] != b[j - 1] ? 1 : 0);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::optional<std::string_view> NearMiss(std::string_view name,
                                         std::span<const std::string_view> known) {
  std::optional<std::string_view> nearest;
  std::size_t least = std::min(kMaxDistance + 1, name.size());
  for (std::string_view candidate : known) {
    // A name may be as long as the file.
    if (name.size() > candidate.size() + kMaxDistance) continue;
    const std::size_t distance = EditDistance(name, candidate);
    if (distance >= least) continue;
    least = distance;
    nearest = candidate;
  }
  return nearest;
}

std::string Suggestion(std::string_view name, std::span<const std::string_view> known) {
  if (const auto nearest = NearMiss(name, known))
    return fmt::format("; did you mean '{}'?", *nearest);
  return fmt::format("; known are {}", fmt::join(known, ", "));
}

}  // namespace mdsa
