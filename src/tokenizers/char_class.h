// Which class a character belongs to, in the eyes of the reference implementation.
//
// The `tokenizers` package is made of parts that each carry their own version of Unicode; two
// implementations agree on a character only if they agree on those versions (measured over every
// code point against tokenizers 0.23.3):
//   split regexes (Oniguruma)                         Unicode 16
//   \w of the regex crate                             Unicode 16
//   char::is_numeric, to_lowercase (Rust's library)   Unicode 17
//   punctuation, Mn, "other" (unicode_categories)     Unicode 8, with five slips
//   normalization forms, combining marks              Unicode 9
// The tables start from ICU's properties. Older versions are had by leaving out characters that
// are younger than the version (ICU knows the age of each), newer ones by adding the ranges that
// Debian 12's ICU 72 (Unicode 15) lacks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mdsa {

enum CharClass : std::uint16_t {
  kLetter = 1 << 0,       // \p{L} of split regexes
  kNumber = 1 << 1,       // \p{N} of split regexes
  kSpace = 1 << 2,        // White_Space: \s everywhere, char::is_whitespace
  kWordChar = 1 << 3,     // \w of added tokens and of the Whitespace pre-tokenizer
  kNumeric = 1 << 4,      // char::is_numeric, the Digits pre-tokenizer
  kPunctuation = 1 << 5,  // BertPreTokenizer and Punctuation
  kNonspacing = 1 << 6,   // dropped by BertNormalizer's strip_accents
  kControl = 1 << 7,      // dropped by BertNormalizer's clean_text
  kCombining = 1 << 8,    // dropped by StripAccents
  kIdeograph = 1 << 9,    // spaced out by BertNormalizer's handle_chinese_chars
  kMarkRegex = 1 << 10,   // \p{M} of split regexes
  kYoung = 1 << 11,       // assigned in Unicode 15 or later: unknown to PCRE2 10.42
};

// Immutable after construction; thread-safe. Holds about 150 KB.
class CharTable {
 public:
  // The only instance, built at first use.
  static const CharTable& Get();

  // Bits of CharClass; `c` must be below 0x110000.
  std::uint16_t Classes(char32_t c) const {
    return blocks_[(static_cast<std::size_t>(index_[c >> 8]) << 8) | (c & 0xff)];
  }
  bool Is(char32_t c, CharClass which) const { return (Classes(c) & which) != 0; }

 private:
  CharTable();

  std::vector<std::uint16_t> index_;   // block of each 256 characters
  std::vector<std::uint16_t> blocks_;  // distinct blocks, 256 entries each
};

// char::to_lowercase of the reference: one character, or two for U+0130 (`second` else 0).
struct LowerCase {
  char32_t first;
  char32_t second;
};
LowerCase ToLower(char32_t c);

// General categories (bits 1 << U_..., as of ICU's U_MASK) in Unicode 16, for the rewriting of
// regexes. Not fast.
std::uint32_t CategoryMask(char32_t c);

}  // namespace mdsa
