#include "formats/printable.h"

#include <simdjson.h>

#include <algorithm>
#include <cstddef>

namespace mdsa {
namespace {

unsigned Byte(char c) { return static_cast<unsigned char>(c); }
bool IsControl(char c) { return Byte(c) < 0x20 || Byte(c) == 0x7f; }
bool IsContinuation(char c) { return (Byte(c) & 0xc0) == 0x80; }

std::size_t SequenceBytes(char lead) {
  return Byte(lead) < 0x80 ? 1 : Byte(lead) < 0xe0 ? 2 : Byte(lead) < 0xf0 ? 3 : 4;
}

// Takes off a character that the end of `text` cuts, if there is one.
void DropCutCharacter(std::string_view& text) {
  std::size_t lead = text.size();
  while (lead > 0 && text.size() - lead < 3 && IsContinuation(text[lead - 1])) --lead;
  if (lead == 0 || IsContinuation(text[lead - 1])) return;
  --lead;
  if (text.size() - lead < SequenceBytes(text[lead])) text = text.substr(0, lead);
}

// C1 controls, line separators, and the marks that change the direction of writing.
bool IsHidden(std::string_view character) {
  if (character.size() == 2) {
    return (character[0] == '\xc2' && Byte(character[1]) < 0xa0) || character == "\u061c";
  }
  return character == "\u200e" || character == "\u200f" ||
         (character.size() == 3 && character >= "\u2028" && character <= "\u202e") ||
         (character.size() == 3 && character >= "\u2066" && character <= "\u2069");
}

}  // namespace

std::string PrintableText(std::string_view text, std::size_t max_bytes) {
  const bool cut = text.size() > max_bytes;
  if (cut) {
    text = text.substr(0, max_bytes);
    DropCutCharacter(text);
  }
  const bool is_utf8 = simdjson::validate_utf8(text);
  std::string shown;
  for (std::size_t i = 0, length = 1; i < text.size(); i += length) {
    length = is_utf8 ? SequenceBytes(text[i]) : 1;
    const std::string_view character = text.substr(i, length);
    const bool bad = IsControl(text[i]) || (!is_utf8 && Byte(text[i]) >= 0x80);
    if (bad || IsHidden(character)) {
      shown += '?';
    } else {
      shown += character;
    }
  }
  if (cut) shown += "...";
  return shown;
}

std::string Printable(std::string_view text) {
  constexpr std::size_t kMaxBytes = 100;
  std::string quoted = "'";
  quoted += PrintableText(text, kMaxBytes);
  quoted += '\'';
  return quoted;
}

bool HasControlCharacters(std::string_view text) { return std::ranges::any_of(text, IsControl); }

}  // namespace mdsa
