#include "tokenizers/word_piece.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizers/test_util.h"

namespace mdsa {
namespace {

using testing::ElementsAre;

std::vector<TokenId> Ids(const TokenModel& model, std::string_view word) {
  std::vector<TokenId> ids;
  model.Tokenize(word, &ids);
  return ids;
}

WordPieceModel Make(const std::vector<std::string>& tokens, const WordPieceOptions& options = {}) {
  return *WordPieceModel::Create(MakeVocabulary(tokens), options);
}

TEST(WordPiece, GreedyLongestFirst) {
  const auto model =
      Make({"[UNK]", "un", "##aff", "##able", "u", "##a", "unaf", "##f", "##\u00e9"});
  EXPECT_THAT(Ids(model, "unaffable"), ElementsAre(6, 7, 3));
  EXPECT_THAT(Ids(model, "un\u00e9"), ElementsAre(1, 8));
  EXPECT_THAT(Ids(model, "able"), ElementsAre(0));
  EXPECT_THAT(Ids(model, "unx"), ElementsAre(0));
}

TEST(WordPiece, LongWordsAreUnknown) {
  const auto model = Make({"[UNK]", "a", "##a"}, {.max_chars_per_word = 3});
  EXPECT_THAT(Ids(model, "aaa"), ElementsAre(1, 2, 2));
  EXPECT_THAT(Ids(model, "aaaa"), ElementsAre(0));
}

TEST(WordPiece, AMatchOfThePrefixAloneIsNoProgress) {
  const auto model = Make({"[UNK]", "a", "##"});
  EXPECT_THAT(Ids(model, "ab"), ElementsAre(0));
}

TEST(WordPiece, NeedsItsUnknownToken) {
  EXPECT_EQ(WordPieceModel::Create(MakeVocabulary({"a"}), {}).error().code(),
            ErrorCode::kInvalidFormat);
  EXPECT_FALSE(WordLevelModel::Create(MakeVocabulary({"a"}), "<unk>"));
}

TEST(WordLevel, WordsOrUnknown) {
  const auto model = *WordLevelModel::Create(MakeVocabulary({"a", "<unk>"}), "<unk>");
  EXPECT_THAT(Ids(model, "a"), ElementsAre(0));
  EXPECT_THAT(Ids(model, "aa"), ElementsAre(1));
}

}  // namespace
}  // namespace mdsa
