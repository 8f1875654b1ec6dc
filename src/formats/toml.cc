#include "formats/toml.h"

#include <simdjson.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "formats/printable.h"

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 16
// The functions of toml++ are inline: where the application has another version of it, the linker
// would take one of the two for both.
#define toml mdsa_toml
#include <toml++/impl/preprocessor.h>
// "[[[" and the like break preconditions of toml++ (issue 294), which it tells the compiler to rely
// on, or asserts. The checks behind them are right.
#undef TOML_ASSERT
#define TOML_ASSERT(expression) static_assert(true)
#undef TOML_ASSERT_ASSUME
#define TOML_ASSERT_ASSUME(expression) static_assert(true)
#include <toml++/toml.h>
#undef toml

namespace mdsa {
namespace {

constexpr std::size_t kMaxDots = 16;

TomlPosition Place(const mdsa_toml::source_position& position) {
  return {position.line, position.column};
}

TomlPosition PlaceOf(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  const auto lines = std::ranges::count(before, '\n');
  const auto columns =
      std::ranges::count_if(before.substr(line_start), [](char c) { return (c & 0xc0) != 0x80; });
  return {static_cast<std::uint32_t>(lines + 1), static_cast<std::uint32_t>(columns + 1)};
}

// toml++ says of ill-formed UTF-8 only roughly where it is.
std::size_t FindIllFormedUtf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    std::size_t length = 1;
    while (length <= 4 && !simdjson::validate_utf8(text.substr(i, length))) ++length;
    if (length > 4) break;
    i += length;
  }
  return i;
}

// The end of the string that begins at `begin`, as far as it is well-formed.
std::size_t EndOfString(std::string_view text, std::size_t begin) {
  const char quote = text[begin];
  const std::string triple(3, quote);
  const bool multi_line = text.substr(begin, 3) == triple;
  std::size_t i = begin + (multi_line ? 3 : 1);
  while (i < text.size()) {
    if (text[i] == '\\' && quote == '"') {
      i += 2;
    } else if (!multi_line && (text[i] == quote || text[i] == '\n')) {
      return i + 1;
    } else if (multi_line && text.substr(i, 3) == triple) {
      i += 3;
      // Up to two quotes may stand right before the closing ones.
      for (int extra = 0; extra < 2 && i < text.size() && text[i] == quote; ++extra) ++i;
      return i;
    } else {
      ++i;
    }
  }
  return text.size();
}

// Where a dotted key has more parts than kMaxDots + 1. toml++ makes a table of each part, and frees
// them by recursion.
std::optional<std::size_t> FindDeepKey(std::string_view text) {
  std::size_t dots = 0;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      i = EndOfString(text, i);
      continue;
    }
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
      continue;
    }
    if (c == '.' && ++dots > kMaxDots) return i;
    if (std::string_view("\n=,[]{}").find(c) != std::string_view::npos) dots = 0;
    ++i;
  }
  return std::nullopt;
}

TomlValue Convert(const mdsa_toml::node& node);

TomlTable ConvertTable(const mdsa_toml::table& table) {
  TomlTable entries;
  entries.reserve(table.size());
  for (const auto& [key, value] : table) {
    entries.push_back({std::string(key.str()), Place(key.source().begin), Convert(value)});
  }
  std::ranges::sort(entries, {}, &TomlEntry::position);
  return entries;
}

TomlValue::Data ConvertData(const mdsa_toml::node& node) {
  if (const auto* table = node.as_table()) return ConvertTable(*table);
  if (const auto* array = node.as_array()) {
    TomlArray values;
    values.reserve(array->size());
    for (const mdsa_toml::node& element : *array) values.push_back(Convert(element));
    return values;
  }
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* real = node.as_floating_point()) return real->get();
  if (const auto* boolean = node.as_boolean()) return boolean->get();
  return TomlDate{};
}

TomlValue Convert(const mdsa_toml::node& node) {
  return {ConvertData(node), Place(node.source().begin)};
}

}  // namespace

std::expected<TomlTable, TomlProblem> ParseToml(std::string_view text) {
  if (!simdjson::validate_utf8(text)) {
    return std::unexpected(TomlProblem{PlaceOf(text, FindIllFormedUtf8(text)), "is no UTF-8"});
  }
  if (const auto offset = FindDeepKey(text)) {
    return std::unexpected(TomlProblem{PlaceOf(text, *offset), "a key has too many dotted parts"});
  }
  const mdsa_toml::parse_result parsed = mdsa_toml::parse(text);
  if (!parsed) {
    constexpr std::size_t kMaxBytes = 300;
    const mdsa_toml::parse_error& error = parsed.error();
    return std::unexpected(
        TomlProblem{Place(error.source().begin), PrintableText(error.description(), kMaxBytes)});
  }
  return ConvertTable(parsed.table());
}

}  // namespace mdsa
