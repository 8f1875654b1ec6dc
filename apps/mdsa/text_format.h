// Values as people and programs read them. Pure functions.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mdsa::cli {

// "0 B", "512 B", "98.4 MB", "14.0 GB": decimal units, three digits.
std::string HumanBytes(std::uint64_t bytes);
// "135 M", "1.42 B": counts of parameters.
std::string HumanCount(std::int64_t count);

// Text from outside with every control character but line feed and tab made visible as "\x1b", so
// that a file or a model cannot drive the terminal. UTF-8 stays as it is.
std::string Printable(std::string_view text);
// The same with line feeds and tabs made visible too.
std::string OneLine(std::string_view text);

// Rows of cells in aligned columns, two spaces apart; the first row is the head. Columns whose
// `right_aligned` is true hold numbers. Widths count code points.
std::string Table(const std::vector<std::vector<std::string>>& rows,
                  const std::vector<bool>& right_aligned);

// [0.1,0.2]: the shortest digits that read back as the same floats; null for what is not finite.
std::string FloatArray(std::span<const float> values);

// Indented, with a line feed at the end; ill-formed UTF-8 becomes U+FFFD.
std::string DumpJson(const nlohmann::ordered_json& value);

}  // namespace mdsa::cli
