// Arithmetic on sizes that come from files. Every result is an error instead of a wrapped number.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

namespace mdsa {

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> CheckedAdd(T a, T b) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> CheckedMul(T a, T b) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// Product of a shape; 1 for a scalar. nullopt on overflow or a negative dimension.
[[nodiscard]] constexpr std::optional<std::int64_t> CheckedProduct(
    std::span<const std::int64_t> shape) {
  std::int64_t product = 1;
  for (std::int64_t dim : shape) {
    if (dim < 0) return std::nullopt;
    if (__builtin_mul_overflow(product, dim, &product)) return std::nullopt;
  }
  return product;
}

[[nodiscard]] constexpr std::int64_t CeilDiv(std::int64_t n, std::int64_t d) {
  return n / d + (n % d != 0 ? 1 : 0);
}
[[nodiscard]] constexpr std::int64_t RoundUp(std::int64_t n, std::int64_t multiple) {
  return CeilDiv(n, multiple) * multiple;
}

}  // namespace mdsa
