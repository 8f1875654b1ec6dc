// UTF-8 as the tokenizers need it: decoding of text already known to be well-formed, and the
// replacement of what is not. Free functions, thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mdsa {

// Length in bytes of the character that starts with `lead`, the first byte of a well-formed one.
inline std::size_t Utf8Length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  if (byte < 0x80) return 1;
  if (byte < 0xe0) return 2;
  return byte < 0xf0 ? 3 : 4;
}

// Reads the character at `*position` of well-formed `text` and moves the position behind it.
inline char32_t NextChar(std::string_view text, std::size_t* position) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[*position + i]));
  };
  const char32_t lead = byte(0);
  if (lead < 0x80) {
    *position += 1;
    return lead;
  }
  char32_t value;
  if (lead < 0xe0) {
    value = ((lead & 0x1f) << 6) | (byte(1) & 0x3f);
    *position += 2;
  } else if (lead < 0xf0) {
    value = ((lead & 0x0f) << 12) | ((byte(1) & 0x3f) << 6) | (byte(2) & 0x3f);
    *position += 3;
  } else {
    value = ((lead & 0x07) << 18) | ((byte(1) & 0x3f) << 12) | ((byte(2) & 0x3f) << 6) |
            (byte(3) & 0x3f);
    *position += 4;
  }
  return value;
}

// Start of the character before `position` (> 0) of well-formed `text`.
inline std::size_t PreviousChar(std::string_view text, std::size_t position) {
  do {
    --position;
  } while (position > 0 && (static_cast<unsigned char>(text[position]) & 0xc0) == 0x80);
  return position;
}

// `value` must be a Unicode scalar value.
void AppendUtf8(char32_t value, std::string* out);

std::size_t CountChars(std::string_view text);

bool IsWellFormedUtf8(std::string_view text);

// Appends `bytes` to `out`, every maximal ill-formed part as one U+FFFD (Unicode 15, section 3.9,
// "U+FFFD Substitution of Maximal Subparts"; the same as Python's errors="replace" and Rust's
// from_utf8_lossy). With `at_end` false, a last character that more bytes could still complete is
// left alone. Returns how many bytes were consumed.
std::size_t AppendLossy(std::string_view bytes, bool at_end, std::string* out);

}  // namespace mdsa
