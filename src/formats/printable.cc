#include "formats/printable.h"

#include <simdjson.h>

#include <algorithm>
#include <cstddef>

namespace mdsa {

std::string Printable(std::string_view text) {
  constexpr std::size_t kMaxBytes = 100;
  const bool cut = text.size() > kMaxBytes;
  std::string shown(text.substr(0, kMaxBytes));
  // Do not end inside a character.
  while (cut && !shown.empty() && (static_cast<unsigned char>(shown.back()) & 0x80) != 0) {
    shown.pop_back();
  }
  const bool is_utf8 = simdjson::validate_utf8(shown);
  std::ranges::replace_if(
      shown,
      [is_utf8](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f || (!is_utf8 && byte >= 0x80);
      },
      '?');
  return "'" + shown + (cut ? "...'" : "'");
}

}  // namespace mdsa
