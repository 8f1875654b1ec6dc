#include "tokenizers/regex.h"

#include <gtest/gtest.h>

#include "tokenizers/regex_translation.h"

namespace mdsa {
namespace {

// Matches in brackets, the rest bare.
std::string Spans(const Pattern& pattern, std::string_view text) {
  std::string out;
  pattern.ForEachSpan(text, [&](std::size_t begin, std::size_t end, bool is_match) {
    const std::string part(text.substr(begin, end - begin));
    out += is_match ? "[" + part + "]" : part;
  });
  return out;
}

std::string RegexSpans(std::string_view regex, std::string_view text) {
  auto pattern = Pattern::FromRegex(regex);
  EXPECT_TRUE(pattern.has_value()) << pattern.error().ToString();
  return pattern ? Spans(*pattern, text) : "";
}

TEST(Pattern, StringsDoNotOverlap) {
  EXPECT_EQ(Spans(Pattern::FromString("aa"), "baaaab"), "b[aa][aa]b");
  EXPECT_EQ(Spans(Pattern::FromString(""), "ab"), "ab");
  EXPECT_EQ(Spans(Pattern::FromString("x"), ""), "");
}

TEST(Regex, LeftmostOrderedAlternatives) {
  EXPECT_EQ(RegexSpans("a|ab", "xabab"), "x[a]b[a]b");
  EXPECT_EQ(RegexSpans(R"(\s+(?!\S)|\s+)", "a  b "), "a[ ][ ]b[ ]");
}

TEST(Regex, EmptyMatchesDoNotRepeat) {
  EXPECT_EQ(RegexSpans("x*", "axxb"), "[]a[xx]b[]");
  EXPECT_EQ(RegexSpans("^", "a\nb"), "[]a\n[]b");
}

TEST(Regex, ClassesAreThoseOfUnicode16) {
  EXPECT_EQ(RegexSpans(R"(\p{L}+)", "\u1c89a-"), "[\u1c89a]-");
  EXPECT_EQ(RegexSpans(R"([^\p{L}\p{N}]+)", "\U0001e030!a"), "\U0001e030[!]a");
  EXPECT_EQ(RegexSpans(R"(\s)", "\u180e \u3000"), "\u180e[ ][\u3000]");
  EXPECT_EQ(RegexSpans(R"([^\S]|[\Sx]+)", "\u180ey \u3000"), "[\u180ey][ ][\u3000]");
}

TEST(Regex, BadPatternsAreErrors) {
  const auto code = [](std::string_view regex) {
    const auto compiled = Regex::Compile(regex);
    return compiled ? ErrorCode::kInternal : compiled.error().code();
  };
  EXPECT_EQ(code("(a"), ErrorCode::kInvalidFormat);
  EXPECT_EQ(code("[a&&b]"), ErrorCode::kUnsupported);
  EXPECT_EQ(code("[a[bc]]"), ErrorCode::kUnsupported);
  EXPECT_EQ(code(std::string(100'000, 'a')), ErrorCode::kUnsupported);
  EXPECT_EQ(code("\\"), ErrorCode::kInvalidFormat);
  EXPECT_EQ(code("[a"), ErrorCode::kInvalidFormat);
}

// With them a match could begin or end inside a character, and the text would be ill-formed.
TEST(Regex, MatchesAreWholeCharacters) {
  for (const char* const regex : {R"(\C)", R"(\C\K\C)", R"(a\Kb)", R"((?=a\K))", R"([\C])"}) {
    const auto compiled = Regex::Compile(regex);
    ASSERT_FALSE(compiled.has_value()) << regex;
    EXPECT_EQ(compiled.error().code(), ErrorCode::kUnsupported) << regex;
  }
}

TEST(Regex, AHostileRegexCannotHang) {
  const std::string text(40, 'a');
  EXPECT_EQ(RegexSpans("(a+)+$b", text), text);
}

// The limit is one for the whole text: each match here, or each failure, is cheap enough alone.
TEST(Regex, AHostileRegexCannotHangBitByBit) {
  const std::string text(200'000, 'a');
  for (const char* const regex : {"(a|a){12}b|.", "(a|a){19}b|.", "(a|a){19}b", "(a+)+$b|x"}) {
    const auto pattern = Pattern::FromRegex(regex);
    ASSERT_TRUE(pattern.has_value());
    std::size_t covered = 0;
    pattern->ForEachSpan(text, [&](std::size_t begin, std::size_t end, bool) {
      EXPECT_EQ(begin, covered);
      covered = end;
    });
    EXPECT_EQ(covered, text.size());
  }
}

TEST(Regex, ExpensiveMatchesAreFoundFarFromEachOther) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += std::string(1000, ' ') + std::string(3000, 'a') + "!";
  int matches = 0;
  (*Pattern::FromRegex("(?:a|b)+?!"))
      .ForEachSpan(text, [&](std::size_t begin, std::size_t end, bool is_match) {
        matches += is_match ? 1 : 0;
        EXPECT_EQ(end - begin, is_match ? 3001u : 1000u);
      });
  EXPECT_EQ(matches, 20);
}

TEST(RegexTranslation, MeansWhatOnigurumaMeans) {
  EXPECT_EQ(*TranslateRegex(R"(\\(?i:x)[]a]+?)"), R"(\\(?i:x)[\]a]+?)");
  EXPECT_EQ(*TranslateRegex(R"(\u00e9\v(?m:.)a{,3}{x)"), R"(\x{00e9}\x{b}(?s:.)a{0,3}\{x)");
  EXPECT_EQ(*TranslateRegex(R"((a|b){1,2}+c{2}?)"), R"((?:(a|b){1,2})+(?:c{2})?)");
  EXPECT_EQ(*TranslateRegex(R"([a-c-e][-a][a-][\h-z])"),
            R"([a-c\-e][\-a][a\-][\x{30}-\x{39}\x{41}-\x{46}\x{61}-\x{66}\-z])");
  EXPECT_EQ(RegexSpans(R"(\w+)", "a\u0902\u00bd-\u00b2"), "[a\u0902\u00bd]-[\u00b2]");
  EXPECT_EQ(RegexSpans(R"(\bb)", "ab b"), "ab [b]");
  EXPECT_EQ(RegexSpans(R"([\P{L}x]+|[^\H])", "ayx1"), "[a]y[x1]");
}

TEST(RegexTranslation, RefusesWhatItDoesNotKnow) {
  for (const char* const regex :
       {R"(\p{C})", R"(\p{Alphabetic})", R"([[:alpha:]])", R"([[:^space:]])", R"(\X)", R"(\G)",
        R"((a)\1)", R"(\k<a>)", R"((?<a>b))", R"((?x: a))", R"((?s:.))", R"(a(?i)b|c)", R"(\x80)",
        R"((*UTF)a)", R"((?#c))", R"((?R))", R"(\Qa\E)", R"(a{99999})", R"(\pL)"}) {
    const auto translated = TranslateRegex(regex);
    ASSERT_FALSE(translated.has_value()) << regex;
    EXPECT_EQ(translated.error().code(), ErrorCode::kUnsupported) << regex;
  }
}

}  // namespace
}  // namespace mdsa
