#include "formats/printable.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace mdsa {
namespace {

std::string Quoted(std::string_view text) { return fmt::format("'{}'", text); }

std::string Cut(std::string_view text) { return fmt::format("'{}...'", text); }

std::string Repeated(std::string_view text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST(PrintableTest, ShortTextIsShownAsItIs) {
  EXPECT_EQ(Printable(""), "''");
  EXPECT_EQ(Printable("model.norm"), "'model.norm'");
  EXPECT_EQ(Printable("\u00e9\u00fc \u6a21\u578b \U0001f600"),
            "'\u00e9\u00fc \u6a21\u578b \U0001f600'");
  EXPECT_EQ(Printable(std::string(100, 'n')), Quoted(std::string(100, 'n')));
}

TEST(PrintableTest, LongTextLosesOnlyTheCharacterAtTheCut) {
  EXPECT_EQ(Printable(std::string(101, 'n')), Cut(std::string(100, 'n')));
  EXPECT_EQ(Printable(Repeated("\u6a21", 40)), Cut(Repeated("\u6a21", 33)));
  EXPECT_EQ(Printable(Repeated("\u00e9", 60)), Cut(Repeated("\u00e9", 50)));
  EXPECT_EQ(Printable(fmt::format("abc{}", Repeated("\U0001f600", 40))),
            Cut(fmt::format("abc{}", Repeated("\U0001f600", 24))));
}

TEST(PrintableTest, ControlCharactersAreHidden) {
  EXPECT_EQ(Printable(std::string_view("a\0b\x1b[31m\n\x7f", 10)), Quoted("a?b?[31m??"));
  EXPECT_EQ(Printable("a\u0080b\u009fc\u00a0"), "'a?b?c\u00a0'");
}

TEST(PrintableTest, MarksOfDirectionAreHidden) {
  for (std::string_view mark :
       {"\u061c", "\u200e", "\u200f", "\u2028", "\u202a", "\u202e", "\u2066", "\u2069"}) {
    EXPECT_EQ(Printable(fmt::format("a{}b", mark)), "'a?b'");
  }
  EXPECT_EQ(Printable("\u2010\u2030"), "'\u2010\u2030'");
}

TEST(PrintableTest, IllFormedUtf8IsHidden) {
  EXPECT_EQ(Printable("a\xff\xc3"), Quoted("a??"));
  EXPECT_EQ(Printable(std::string(200, '\x80')), Cut(std::string(100, '?')));
}

}  // namespace
}  // namespace mdsa
