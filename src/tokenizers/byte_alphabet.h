// The byte-level alphabet of GPT-2: one visible character for each of the 256 bytes. Bytes 21-7E,
// A1-AC and AE-FF stand for themselves; the other 68, in ascending order, are U+0100 and up.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mdsa {

// Immutable; thread-safe.
class ByteAlphabet {
 public:
  static const ByteAlphabet& Get();

  char32_t CharOf(unsigned char byte) const { return chars_[byte]; }
  std::optional<unsigned char> ByteOf(char32_t c) const {
    if (c >= bytes_.size() || bytes_[c] < 0) return std::nullopt;
    return static_cast<unsigned char>(bytes_[c]);
  }

  // Appends the spelling of every byte of `bytes`.
  void AppendSpelled(std::string_view bytes, std::string* out) const;
  // Appends the bytes that well-formed `spelled` stands for; if one of its characters is not in
  // the alphabet, `spelled` itself, as the reference does.
  void AppendBytes(std::string_view spelled, std::string* out) const;
  bool IsSpelled(std::string_view text) const;

 private:
  ByteAlphabet();

  struct Spelling {
    char text[2];
    std::uint8_t length;
  };
  std::array<char32_t, 256> chars_;
  std::array<Spelling, 256> spellings_;  // UTF-8 of chars_
  std::array<std::int16_t, 324> bytes_;  // by character; -1: not in the alphabet
};

}  // namespace mdsa
