#include "text_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>

namespace mdsa::cli {
namespace {

std::string Scaled(double value, std::span<const std::string_view> units) {
  std::size_t unit = 0;
  // 999.5 would print as "1000".
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= 1000.0;
    ++unit;
  }
  const int decimals = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}", value, decimals, units[unit]);
}

bool IsControl(unsigned char byte) { return byte < 0x20 || byte == 0x7f; }

// The C1 controls U+0080..U+009F, which terminals also obey, are C2 80..C2 9F in UTF-8.
bool IsC1Control(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]) == 0xc2 && at + 1 < text.size() &&
         static_cast<unsigned char>(text[at + 1]) >= 0x80 &&
         static_cast<unsigned char>(text[at + 1]) < 0xa0;
}

std::string Visible(std::string_view text, bool keep_layout) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (IsC1Control(text, i)) {
      ++i;
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[i]));
    } else if (!IsControl(byte) || (keep_layout && (byte == '\n' || byte == '\t'))) {
      out += text[i];
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '\t') {
      out += "\\t";
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

std::size_t CodePoints(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string HumanBytes(std::uint64_t bytes) {
  static constexpr std::array<std::string_view, 5> kUnits = {" B", " kB", " MB", " GB", " TB"};
  return Scaled(static_cast<double>(bytes), kUnits);
}

std::string HumanCount(std::int64_t count) {
  static constexpr std::array<std::string_view, 5> kUnits = {"", " k", " M", " B", " T"};
  return Scaled(static_cast<double>(count), kUnits);
}

std::string Printable(std::string_view text) { return Visible(text, true); }
std::string OneLine(std::string_view text) { return Visible(text, false); }

std::string Table(const std::vector<std::vector<std::string>>& rows,
                  const std::vector<bool>& right_aligned) {
  std::vector<std::size_t> widths(right_aligned.size(), 0);
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      widths[c] = std::max(widths[c], CodePoints(row[c]));
    }
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (c > 0) line += "  ";
      const std::string padding(widths[c] - CodePoints(row[c]), ' ');
      line += right_aligned[c] ? padding + row[c] : row[c] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string FloatArray(std::span<const float> values) {
  fmt::memory_buffer out;
  out.push_back('[');
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out.push_back(',');
    if (std::isfinite(values[i])) {
      fmt::format_to(std::back_inserter(out), "{}", values[i]);
    } else {
      fmt::format_to(std::back_inserter(out), "null");
    }
  }
  out.push_back(']');
  return fmt::to_string(out);
}

std::string DumpJson(const nlohmann::ordered_json& value) {
  return value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace mdsa::cli
