#include "tokenizers/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizers/test_util.h"

namespace mdsa {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(PreTokenizer, Bert) {
  EXPECT_THAT(Pieces(BertPreTokenizer(), " Hey, you!\u3000\u6f22\u3002$5\u20ac"),
              ElementsAre("Hey", ",", "you", "!", "\u6f22", "\u3002", "$", "5\u20ac"));
  EXPECT_THAT(Pieces(BertPreTokenizer(), " \n"), IsEmpty());
}

TEST(PreTokenizer, Whitespace) {
  EXPECT_THAT(Pieces(WhitespacePreTokenizer(), "a_b1 +- c"), ElementsAre("a_b1", "+-", "c"));
}

TEST(PreTokenizer, Digits) {
  EXPECT_THAT(Pieces(ClassSplit(kNumeric, SplitBehavior::kIsolated), "a12b"),
              ElementsAre("a", "1", "2", "b"));
  EXPECT_THAT(Pieces(ClassSplit(kNumeric, SplitBehavior::kContiguous), "a12b"),
              ElementsAre("a", "12", "b"));
}

TEST(PreTokenizer, ByteLevel) {
  EXPECT_THAT(Pieces(ByteLevelPreTokenizer(true, true), "a \u00e9"),
              ElementsAre("\u0120a", "\u0120\u00c3\u00a9"));
  EXPECT_THAT(Pieces(ByteLevelPreTokenizer(false, false), "a b"), ElementsAre("a\u0120b"));
}

TEST(PreTokenizer, Metaspace) {
  const auto split = [](PrependScheme scheme, bool split_words) {
    return Pieces(MetaspacePreTokenizer("\u2581", scheme, split_words), "a  b");
  };
  EXPECT_THAT(split(PrependScheme::kAlways, true), ElementsAre("\u2581a", "\u2581", "\u2581b"));
  EXPECT_THAT(split(PrependScheme::kNever, false), ElementsAre("a\u2581\u2581b"));
  EXPECT_THAT(Pieces(MetaspacePreTokenizer("\u2581", PrependScheme::kFirst, false), " a"),
              ElementsAre("\u2581a"));
}

TEST(PreTokenizer, MetaspaceFirstOnlyAtTheStartOfTheText) {
  PieceList list{"ab", {{0, 1, kNoToken, true}, {1, 2, kNoToken, false}}};
  MetaspacePreTokenizer("_", PrependScheme::kFirst, false).Apply(&list);
  EXPECT_EQ(list.text, "_ab");
}

TEST(PreTokenizer, AddedTokensAreLeftAlone) {
  PieceList list{"a b", {{0, 3, kNoToken, true}, {3, 3, 7, false}}};
  ByteLevelPreTokenizer(true, true).Apply(&list);
  ASSERT_EQ(list.pieces.size(), 3u);
  EXPECT_EQ(list.pieces[2].id, 7);
}

TEST(PreTokenizer, SplitBehaviors) {
  const auto split = [](SplitBehavior behavior, bool invert = false) {
    return Pieces(PatternSplit(Pattern::FromString("-"), behavior, invert), "-a--b-");
  };
  EXPECT_THAT(split(SplitBehavior::kRemoved), ElementsAre("a", "b"));
  EXPECT_THAT(split(SplitBehavior::kRemoved, true), ElementsAre("-", "-", "-", "-"));
  EXPECT_THAT(split(SplitBehavior::kIsolated), ElementsAre("-", "a", "-", "-", "b", "-"));
  EXPECT_THAT(split(SplitBehavior::kMergedWithPrevious), ElementsAre("-", "a-", "-", "b-"));
  EXPECT_THAT(split(SplitBehavior::kMergedWithNext), ElementsAre("-a", "-", "-b", "-"));
  EXPECT_THAT(split(SplitBehavior::kContiguous), ElementsAre("-", "a", "--", "b", "-"));
}

}  // namespace
}  // namespace mdsa
