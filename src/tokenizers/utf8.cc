#include "tokenizers/utf8.h"

#include <simdjson.h>

#include <algorithm>

namespace mdsa {
namespace {

// How a character that starts with some byte goes on: its length (0: no character starts so) and
// the bounds of its second byte, which exclude overlong forms, surrogates and values too large.
struct Lead {
  std::size_t length;
  unsigned char second_min, second_max;
};

Lead ClassifyLead(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xc2) return {0, 0, 0};
  if (byte < 0xe0) return {2, 0x80, 0xbf};
  if (byte < 0xf0) {
    return {3, static_cast<unsigned char>(byte == 0xe0 ? 0xa0 : 0x80),
            static_cast<unsigned char>(byte == 0xed ? 0x9f : 0xbf)};
  }
  if (byte > 0xf4) return {0, 0, 0};
  return {4, static_cast<unsigned char>(byte == 0xf0 ? 0x90 : 0x80),
          static_cast<unsigned char>(byte == 0xf4 ? 0x8f : 0xbf)};
}

// How many bytes at the start of `bytes` belong to the well-formed beginning of one character.
std::size_t WellFormedPart(std::string_view bytes, const Lead& lead) {
  std::size_t n = 1;
  while (n < lead.length && n < bytes.size()) {
    const auto byte = static_cast<unsigned char>(bytes[n]);
    const unsigned char low = n == 1 ? lead.second_min : 0x80;
    const unsigned char high = n == 1 ? lead.second_max : 0xbf;
    if (byte < low || byte > high) break;
    ++n;
  }
  return n;
}

}  // namespace

void AppendUtf8(char32_t value, std::string* out) {
  const auto put = [out](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (value < 0x80) {
    put(value);
  } else if (value < 0x800) {
    put(0xc0 | (value >> 6));
    put(0x80 | (value & 0x3f));
  } else if (value < 0x10000) {
    put(0xe0 | (value >> 12));
    put(0x80 | ((value >> 6) & 0x3f));
    put(0x80 | (value & 0x3f));
  } else {
    put(0xf0 | (value >> 18));
    put(0x80 | ((value >> 12) & 0x3f));
    put(0x80 | ((value >> 6) & 0x3f));
    put(0x80 | (value & 0x3f));
  }
}

std::size_t CountChars(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

bool IsWellFormedUtf8(std::string_view text) {
  return text.empty() || simdjson::validate_utf8(text.data(), text.size());
}

std::size_t AppendLossy(std::string_view bytes, bool at_end, std::string* out) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  std::size_t done = 0;
  while (done < bytes.size()) {
    const Lead lead = ClassifyLead(static_cast<unsigned char>(bytes[done]));
    if (lead.length == 0) {
      out->append(kReplacement);
      ++done;
      continue;
    }
    const std::size_t n = WellFormedPart(bytes.substr(done), lead);
    if (n == lead.length) {
      out->append(bytes.substr(done, n));
    } else if (!at_end && done + n == bytes.size()) {
      break;
    } else {
      out->append(kReplacement);
    }
    done += n;
  }
  return done;
}

}  // namespace mdsa
