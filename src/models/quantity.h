// Numbers with units as people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace mdsa {

// Views of the text that it was split from.
struct Quantity {
  std::string_view number;  // digits, with a point between digits or without
  std::string_view unit;    // what follows but for blanks; may be empty, or anything
};

// "6.5 GB" -> {"6.5", "GB"}; nullopt if it does not begin with a number. Blanks around the parts
// are dropped. A sign or an exponent is no part of a number.
std::optional<Quantity> SplitQuantity(std::string_view text);

// number * unit, exact and then rounded down; nullopt above 2^64 - 1. `number` as in a Quantity.
std::optional<std::uint64_t> ScaledNumber(std::string_view number, std::uint64_t unit);

}  // namespace mdsa
