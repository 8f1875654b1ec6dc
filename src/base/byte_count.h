// Sums and products of sizes for estimates: absurd ones come out as "more than there is", never as
// a small number.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include "base/checked_math.h"

namespace mdsa {

// An eighth of the range, so that a few of them can be added without a wrap.
inline constexpr std::uint64_t kTooManyBytes = std::numeric_limits<std::uint64_t>::max() / 8;

constexpr std::uint64_t ByteProduct(std::initializer_list<std::uint64_t> factors) {
  std::uint64_t product = 1;
  for (const std::uint64_t factor : factors) {
    product = CheckedMul(product, factor).value_or(kTooManyBytes);
  }
  return std::min(product, kTooManyBytes);
}

constexpr std::uint64_t ByteSum(std::initializer_list<std::uint64_t> terms) {
  std::uint64_t sum = 0;
  for (const std::uint64_t term : terms) {
    sum = std::min(sum + std::min(term, kTooManyBytes), kTooManyBytes);
  }
  return sum;
}

// A size that is known not to be negative.
constexpr std::uint64_t ToBytes(std::int64_t size) { return static_cast<std::uint64_t>(size); }

}  // namespace mdsa
