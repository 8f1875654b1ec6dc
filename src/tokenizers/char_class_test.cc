#include "tokenizers/char_class.h"

#include <gtest/gtest.h>

namespace mdsa {
namespace {

bool Is(char32_t c, CharClass which) { return CharTable::Get().Is(c, which); }

TEST(CharClass, Basics) {
  EXPECT_TRUE(Is('a', kLetter) && Is('a', kWordChar) && !Is('a', kNumber));
  EXPECT_TRUE(Is('7', kNumber) && Is('7', kNumeric) && Is(0xbd, kNumber));
  EXPECT_TRUE(Is(' ', kSpace) && Is(0x3000, kSpace) && Is(0x85, kSpace) && !Is(0x200b, kSpace));
  EXPECT_TRUE(Is('_', kWordChar) && Is(0x301, kWordChar) && !Is('-', kWordChar));
  EXPECT_TRUE(Is('$', kPunctuation) && !Is(0x20ac, kPunctuation) && Is(0x3001, kPunctuation));
  EXPECT_TRUE(Is(0x301, kNonspacing) && Is(0x301, kCombining) && !Is(0x903, kNonspacing));
  EXPECT_TRUE(Is(0xad, kControl) && Is(0xfffd, kControl) && Is(0x100000, kControl));
  EXPECT_FALSE(Is('\t', kControl) || Is('\n', kControl) || Is(0x378, kControl));
}

// U+2B820..U+2B91F are ideographs that BertNormalizer forgets.
TEST(CharClass, IdeographsAsInBert) {
  EXPECT_TRUE(Is(0x4e00, kIdeograph) && Is(0x2b81f, kIdeograph) && Is(0x2b920, kIdeograph));
  EXPECT_FALSE(Is(0x2b820, kIdeograph) || Is(0x3042, kIdeograph) || Is(0xac00, kIdeograph));
}

TEST(CharClass, EachPartHasItsVersionOfUnicode) {
  EXPECT_TRUE(Is(0x1c89, kLetter));    // Unicode 16
  EXPECT_TRUE(Is(0x16130, kNumber));   // Unicode 16
  EXPECT_TRUE(Is(0x11de0, kNumeric));  // Unicode 17, Rust's library only
  EXPECT_FALSE(Is(0x11de0, kNumber));
  EXPECT_TRUE(Is(0x2e42, kPunctuation));   // Unicode 7
  EXPECT_FALSE(Is(0x2e43, kPunctuation));  // Unicode 9
  EXPECT_FALSE(Is(0x8d4, kNonspacing));    // Unicode 9
  EXPECT_TRUE(Is(0x8d4, kCombining));
  EXPECT_FALSE(Is(0x1abf, kCombining));  // Unicode 13
}

TEST(CharClass, LowerCase) {
  EXPECT_EQ(ToLower('A').first, U'a');
  EXPECT_EQ(ToLower(0x3a3).first, 0x3c3u);
  EXPECT_EQ(ToLower(0x1e9e).first, 0xdfu);
  EXPECT_EQ(ToLower(0x130).first, U'i');
  EXPECT_EQ(ToLower(0x130).second, 0x307u);
  EXPECT_EQ(ToLower(0xa7dc).first, 0x19bu);  // Unicode 16
}

}  // namespace
}  // namespace mdsa
