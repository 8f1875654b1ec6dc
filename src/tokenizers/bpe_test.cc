#include "tokenizers/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tokenizers/test_util.h"

namespace mdsa {
namespace {

using testing::ElementsAre;

std::unique_ptr<BpeModel> Make(const std::vector<std::string>& tokens,
                               const std::vector<BpeModel::MergeText>& merges,
                               const BpeOptions& options = {}) {
  auto model = BpeModel::Create(MakeVocabulary(tokens), merges, options);
  EXPECT_TRUE(model.has_value());
  return std::move(*model);
}

std::vector<TokenId> Ids(const BpeModel& model, std::string_view word) {
  std::vector<TokenId> ids;
  model.Tokenize(word, &ids);
  return ids;
}

TEST(Bpe, LowestRankThenLeftmost) {
  const auto model = Make({"a", "b", "c", "ab", "bc", "aa"}, {{"b", "c"}, {"a", "b"}, {"a", "a"}});
  EXPECT_THAT(Ids(*model, "abc"), ElementsAre(0, 4));
  EXPECT_THAT(Ids(*model, "aaab"), ElementsAre(5, 3));
  EXPECT_THAT(Ids(*model, "aaa"), ElementsAre(5, 0));
}

TEST(Bpe, AWholeWordCountsOnlyIfItsMergesGetThere) {
  const std::vector<std::string> tokens = {"a", "b", "c", "ab", "bc", "abc"};
  const std::vector<BpeModel::MergeText> merges = {{"b", "c"}, {"ab", "c"}, {"a", "b"}};
  const auto model = Make(tokens, merges);
  for (int i = 0; i < 2; ++i) EXPECT_THAT(Ids(*model, "abc"), ElementsAre(0, 4));
  EXPECT_THAT(Ids(*Make(tokens, merges, {.ignore_merges = true}), "abc"), ElementsAre(5));
}

// Of two spellings with one id only the last one is what the id stands for.
TEST(Bpe, ResultsDoNotDependOnTheOrderOfCalls) {
  Vocabulary::Builder builder;
  ASSERT_TRUE(builder.Add("a", 0) && builder.Add("b", 1));
  ASSERT_TRUE(builder.Add("ba", 2) && builder.Add("ab", 2));
  const auto model = *BpeModel::Create(std::move(builder).Build(), {{"a", "b"}}, {});
  EXPECT_THAT(Ids(*model, "ab"), ElementsAre(2));
  EXPECT_THAT(Ids(*model, "ba"), ElementsAre(1, 0));
  EXPECT_THAT(Ids(*model, "ab"), ElementsAre(2));
}

TEST(Bpe, UnknownCharacters) {
  const std::vector<std::string> tokens = {"<unk>", "a", "<0xC3>", "<0xA9>"};
  EXPECT_THAT(Ids(*Make(tokens, {}), "xa"), ElementsAre(1));
  EXPECT_THAT(Ids(*Make(tokens, {}, {.unk_token = "<unk>"}), "xyax"), ElementsAre(0, 0, 1, 0));
  EXPECT_THAT(Ids(*Make(tokens, {}, {.unk_token = "<unk>", .fuse_unk = true}), "xyax"),
              ElementsAre(0, 1, 0));
  EXPECT_THAT(
      Ids(*Make(tokens, {}, {.unk_token = "<unk>", .byte_fallback = true}), "a\u00e9\u00e8"),
      ElementsAre(1, 2, 3, 0));
}

TEST(Bpe, PrefixAndSuffix) {
  const auto model = Make({"a", "##b", "##b</w>", "a##b"}, {},
                          {.continuing_prefix = "##", .end_of_word_suffix = "</w>"});
  EXPECT_THAT(Ids(*model, "abb"), ElementsAre(0, 1, 2));
}

TEST(Bpe, MergesThatNameUnknownTokensAreErrors) {
  const auto fails = [](const std::vector<BpeModel::MergeText>& merges) {
    const auto model = BpeModel::Create(MakeVocabulary({"a", "b", "ab"}), merges, {});
    return !model && model.error().code() == ErrorCode::kInvalidFormat;
  };
  EXPECT_TRUE(fails({{"a", "x"}}));
  EXPECT_TRUE(fails({{"x", "a"}}));
  EXPECT_TRUE(fails({{"a", "a"}}));
  EXPECT_FALSE(fails({{"a", "b"}}));
}

// The plain definition, quadratic: the reference for the scanning and for the heap.
std::vector<TokenId> SlowMerge(std::vector<TokenId> ids, const MergeTable& merges) {
  while (true) {
    const Merge* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const Merge* merge = merges.Find(ids[i], ids[i + 1]);
      if (merge != nullptr && (best == nullptr || merge->rank < best->rank)) {
        best = merge;
        at = i;
      }
    }
    if (best == nullptr) return ids;
    ids[at] = best->merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(Bpe, ShortAndLongWordsEqualTheDefinition) {
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> tokens = {"a", "b", "c"};
    std::vector<std::pair<std::string, std::string>> pairs;
    for (int i = 0; i < 25; ++i) {
      const std::string left = tokens[random() % tokens.size()];
      const std::string right = tokens[random() % tokens.size()];
      if (std::find(tokens.begin(), tokens.end(), left + right) != tokens.end()) continue;
      tokens.push_back(left + right);
      pairs.emplace_back(left, right);
    }
    std::shuffle(pairs.begin(), pairs.end(), random);
    const std::vector<BpeModel::MergeText> merges(pairs.begin(), pairs.end());
    const auto model = Make(tokens, merges);
    MergeTable table(pairs.size());
    for (std::size_t rank = 0; rank < pairs.size(); ++rank) {
      const Vocabulary& v = model->vocabulary();
      table.Add(
          *v.Find(pairs[rank].first), *v.Find(pairs[rank].second),
          {static_cast<std::uint32_t>(rank), *v.Find(pairs[rank].first + pairs[rank].second)});
    }
    for (const std::size_t length : {1u, 2u, 7u, 48u, 49u, 300u}) {
      std::string word;
      std::vector<TokenId> ids;
      for (std::size_t i = 0; i < length; ++i) {
        ids.push_back(static_cast<TokenId>(random() % 3));
        word.push_back(static_cast<char>('a' + ids.back()));
      }
      EXPECT_EQ(Ids(*model, word), SlowMerge(ids, table)) << word;
    }
  }
}

// 1 MB in one word: quadratic work would take hours.
TEST(Bpe, AMegabyteWordIsNotQuadratic) {
  const auto model = Make({"a", "aa", "aaaa"}, {{"a", "a"}, {"aa", "aa"}});
  EXPECT_EQ(Ids(*model, std::string(1'000'000, 'a')).size(), 250'000u);
}

}  // namespace
}  // namespace mdsa
