#include "tokenizers/utf8.h"

#include <gtest/gtest.h>

namespace mdsa {
namespace {

std::string Lossy(std::string_view bytes, bool at_end = true) {
  std::string out;
  AppendLossy(bytes, at_end, &out);
  return out;
}

TEST(Utf8, RoundTripsAtTheEdgesOfEachLength) {
  for (const char32_t c :
       {0x0u, 0x7fu, 0x80u, 0x7ffu, 0x800u, 0xd7ffu, 0xe000u, 0xffffu, 0x10000u, 0x10ffffu}) {
    std::string text;
    AppendUtf8(c, &text);
    EXPECT_TRUE(IsWellFormedUtf8(text));
    EXPECT_EQ(Utf8Length(text[0]), text.size());
    std::size_t position = 0;
    EXPECT_EQ(NextChar(text, &position), c);
    EXPECT_EQ(position, text.size());
    EXPECT_EQ(PreviousChar(text, text.size()), 0u);
  }
}

TEST(Utf8, ReplacesMaximalSubparts) {
  EXPECT_EQ(Lossy("a\xff"
                  "b"),
            "a\uFFFDb");
  EXPECT_EQ(Lossy("\xe2\x82"), "\uFFFD");
  EXPECT_EQ(Lossy("\xe2\x82"
                  "a"),
            "\uFFFDa");
  EXPECT_EQ(Lossy("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(Lossy("\xc0\xaf"), "\uFFFD\uFFFD");            // overlong
  EXPECT_EQ(Lossy("\xf4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(Lossy("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80");
}

TEST(Utf8, KeepsAnIncompleteEndForLater) {
  std::string out;
  EXPECT_EQ(AppendLossy("ab\xf0\x9f\x98", false, &out), 2u);
  EXPECT_EQ(out, "ab");
  EXPECT_EQ(AppendLossy("\xf0\x28", false, &out), 2u);
  EXPECT_EQ(out, "ab\uFFFD(");
}

TEST(Utf8, CountsChars) { EXPECT_EQ(CountChars("a\u00e9\u6f22\U0001f600"), 4u); }

}  // namespace
}  // namespace mdsa
