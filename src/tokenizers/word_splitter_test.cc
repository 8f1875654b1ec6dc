#include "tokenizers/word_splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tokenizers/regex.h"

namespace mdsa {
namespace {

using testing::ElementsAre;

constexpr std::string_view kRegexes[] = {
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
};

std::vector<std::string> Words(WordPattern pattern, std::string_view text) {
  std::vector<std::string> words;
  SplitWords(pattern, text, [&](std::size_t begin, std::size_t end) {
    words.emplace_back(text.substr(begin, end - begin));
  });
  return words;
}

TEST(WordSplitter, Gpt2) {
  EXPECT_THAT(Words(WordPattern::kGpt2, "I've  2 cats!?  \n"),
              ElementsAre("I", "'ve", " ", " 2", " cats", "!?", "  \n"));
}

TEST(WordSplitter, Llama3) {
  EXPECT_THAT(Words(WordPattern::kLlama3, "IT'S 12345 \n\n x\t(y)\n"),
              ElementsAre("IT", "'S", " ", "123", "45", " \n\n", " x", "\t", "(y", ")\n"));
}

TEST(WordSplitter, KnowsOnlyTheExactRegexes) {
  EXPECT_EQ(KnownWordPattern(kRegexes[0]), WordPattern::kGpt2);
  EXPECT_EQ(KnownWordPattern(kRegexes[1]), WordPattern::kLlama3);
  EXPECT_EQ(KnownWordPattern(kRegexes[2]), WordPattern::kQwen2);
  EXPECT_EQ(KnownWordPattern(R"(\p{L}+)"), std::nullopt);
}

// The hand-written matchers against the regexes themselves, on every sequence of four characters
// from an alphabet with all kinds of character.
TEST(WordSplitter, EqualsTheRegexes) {
  const std::vector<std::string> alphabet = {" ", "\n",     "\r",     "\t",     "'",     "s",
                                             "L", "l",      "e",      "v",      "7",     "!",
                                             ".", "\u00e9", "\u0301", "\u017f", "\u3000"};
  for (int p = 0; p < 3; ++p) {
    const Regex regex = *Regex::Compile(kRegexes[p]);
    std::mt19937 random(static_cast<unsigned>(p) + 1);
    std::uniform_int_distribution<std::size_t> pick(0, alphabet.size() - 1);
    for (int i = 0; i < 20000; ++i) {
      std::string text;
      for (int j = 0; j < 6; ++j) text += alphabet[pick(random)];
      std::vector<std::string> expected;
      regex.ForEachSpan(text, [&](std::size_t begin, std::size_t end, bool) {
        expected.push_back(text.substr(begin, end - begin));
      });
      ASSERT_EQ(Words(static_cast<WordPattern>(p), text), expected) << text;
    }
  }
}

}  // namespace
}  // namespace mdsa
