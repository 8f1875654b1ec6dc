#include "tokenizers/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mdsa {
namespace {

using testing::ElementsAre;

// The text of each token as it comes out, and of the end.
std::vector<std::string> Steps(const std::vector<StageMaker>& makers,
                               const std::vector<std::string>& tokens) {
  DecoderChain chain(makers);
  std::vector<std::string> texts;
  for (const std::string& token : tokens) {
    chain.AddToken(token);
    texts.push_back(chain.TakeText());
  }
  chain.Finish();
  texts.push_back(chain.TakeText());
  return texts;
}

std::string Decode(const std::vector<StageMaker>& makers, const std::vector<std::string>& tokens) {
  std::string text;
  for (const std::string& step : Steps(makers, tokens)) text += step;
  return text;
}

TEST(Decoder, WordPiece) {
  EXPECT_EQ(Decode({WordPieceStage("##", true)},
                   {"he", "##llo", "!", "do", "n't", "it", "'", "s", "##.", "'m"}),
            "hello! don't it ' s.'m");
  EXPECT_EQ(Decode({WordPieceStage("##", false)}, {"##a", ".", "##b"}), "##a .b");
  EXPECT_EQ(Decode({WordPieceStage("##", true)}, {"x do not", "y"}), "x don't y");
}

TEST(Decoder, ByteLevelNeverSplitsACharacter) {
  // U+1F600 is F0 9F 98 80.
  EXPECT_THAT(Steps({ByteLevelStage()}, {"a\u00f0", "\u0141\u013a", "\u0122b", "\u00c3"}),
              ElementsAre("a", "", "\U0001f600b", "", "\ufffd"));
  EXPECT_EQ(Decode({ByteLevelStage()}, {"\u00ff\u0120", "\u6f22"}), "\ufffd \u6f22");
}

TEST(Decoder, ByteFallbackTakesWholeRuns) {
  EXPECT_THAT(Steps({ByteFallbackStage()}, {"<0xC3>", "<0xA9>", "x", "<0xC3>", "<0x4g>", "<0xC3>"}),
              ElementsAre("", "", "\u00e9x", "", "\ufffd<0x4g>", "", "\ufffd"));
  EXPECT_EQ(Decode({ByteFallbackStage()}, {"<0x41>", "<0xFF>"}), "\ufffd\ufffd");
}

TEST(Decoder, Llama) {
  EXPECT_THAT(Steps({ReplaceStage(Pattern::FromString("\u2581"), " "), ByteFallbackStage(),
                     FuseStage(), StripStage(" ", 1, 0)},
                    {"\u2581Hi", "\u2581\u2581there", "<0x0A>"}),
              ElementsAre("Hi", "  there", "", "\n"));
}

TEST(Decoder, MetaspaceDropsOnlyInTheFirstToken) {
  EXPECT_EQ(Decode({MetaspaceStage("\u2581", true)}, {"\u2581a\u2581", "\u2581b"}), "a b");
  EXPECT_EQ(Decode({MetaspaceStage("\u2581", false)}, {"\u2581a"}), " a");
}

TEST(Decoder, Strip) {
  EXPECT_THAT(Steps({StripStage("x", 1, 2)}, {"xxaxxx", "x", "axb"}),
              ElementsAre("xax", "", "axb", ""));
  EXPECT_EQ(Decode({FuseStage(), StripStage("x", 1, 1)}, {"x", "x", "ax", "x", "b", "x"}), "xaxxb");
}

TEST(Decoder, BpeKeepsTheLastTokenWithoutSpace) {
  EXPECT_EQ(Decode({BpeStage("</w>")}, {"a</w>", "b", "c</w>"}), "a bc");
  EXPECT_EQ(Decode({BpeStage("</w>")}, {}), "");
}

TEST(Decoder, ReplaceWithARegexAndALongString) {
  EXPECT_EQ(Decode({ReplaceStage(*Pattern::FromRegex("a+"), "-")}, {"baab", "a"}), "b-b-");
  EXPECT_EQ(Decode({FuseStage(), ReplaceStage(Pattern::FromString("ab"), "")}, {"a", "bc"}), "c");
}

TEST(Decoder, NoneMeansSpaces) {
  EXPECT_THAT(Steps({SpaceStage()}, {"a", "", "b"}), ElementsAre("a", " ", " b", ""));
}

}  // namespace
}  // namespace mdsa
