// TOML text as plain values with their places, in the order of the file.
#pragma once

#include <compare>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace mdsa {

// From 1; a column is a code point.
struct TomlPosition {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
  auto operator<=>(const TomlPosition&) const = default;
};

struct TomlEntry;
struct TomlValue;

using TomlArray = std::vector<TomlValue>;
// Entries by their position. Keys occur once.
using TomlTable = std::vector<TomlEntry>;
struct TomlDate {};  // a date, a time or both; nobody reads its value

struct TomlValue {
  using Data =
      std::variant<bool, std::int64_t, double, std::string, TomlDate, TomlArray, TomlTable>;

  // nullptr if the value is something else.
  template <typename T>
  const T* As() const {
    return std::get_if<T>(&data);
  }

  Data data;
  TomlPosition position;  // of a [table] or [[array of tables]]: its first header
};

struct TomlEntry {
  std::string key;
  TomlPosition position;  // of the key
  TomlValue value;
};

struct TomlProblem {
  TomlPosition position;
  std::string message;  // printable
};

// TOML 1.0. Values nested deeper than 16 levels and keys of more than 17 dotted parts are problems,
// so that no text can exhaust the stack. Memory and time grow with the text, whose size the caller
// limits.
std::expected<TomlTable, TomlProblem> ParseToml(std::string_view text);

}  // namespace mdsa
