#include "tokenizers/vocabulary.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tokenizers/merge_table.h"
#include "tokenizers/string_matcher.h"
#include "tokenizers/test_util.h"

namespace mdsa {
namespace {

std::string Name(int id) { return fmt::format("t{}", id); }

TEST(Vocabulary, FindsEveryTokenOfALargeOne) {
  Vocabulary::Builder builder;
  for (int id = 0; id < 50000; ++id) ASSERT_TRUE(builder.Add(Name(id), id));
  const Vocabulary vocabulary = std::move(builder).Build();
  for (int id = 0; id < 50000; ++id) {
    ASSERT_EQ(vocabulary.Find(Name(id)), id);
    ASSERT_EQ(vocabulary.Token(id), Name(id));
  }
  EXPECT_EQ(vocabulary.Find("t50000"), std::nullopt);
  EXPECT_EQ(vocabulary.Token(50000), std::nullopt);
  EXPECT_EQ(vocabulary.Token(-1), std::nullopt);
  EXPECT_LT(vocabulary.memory_bytes(), 2'000'000u);
}

TEST(Vocabulary, HolesAndAnyOrder) {
  Vocabulary::Builder builder;
  ASSERT_TRUE(builder.Add("b", 7));
  ASSERT_TRUE(builder.Add("a", 2));
  ASSERT_TRUE(builder.Add("", 4));
  const Vocabulary vocabulary = std::move(builder).Build();
  EXPECT_EQ(vocabulary.size(), 3u);
  EXPECT_EQ(vocabulary.id_limit(), 8u);
  EXPECT_EQ(vocabulary.Find("b"), 7);
  EXPECT_EQ(vocabulary.Token(2), "a");
  EXPECT_EQ(vocabulary.Token(3), std::nullopt);
  EXPECT_EQ(vocabulary.Token(4), "");
}

TEST(Vocabulary, ARepeatedTokenKeepsItsLastId) {
  const Vocabulary vocabulary = MakeVocabulary({"a", "b", "a"});
  EXPECT_EQ(vocabulary.size(), 2u);
  EXPECT_EQ(vocabulary.Find("a"), 2);
  EXPECT_EQ(vocabulary.Token(0), std::nullopt);
}

TEST(Vocabulary, ARepeatedIdDecodesToItsLastToken) {
  Vocabulary::Builder builder;
  ASSERT_TRUE(builder.Add("x", 0));
  ASSERT_TRUE(builder.Add("y", 0));
  const Vocabulary vocabulary = std::move(builder).Build();
  EXPECT_EQ(vocabulary.Find("x"), 0);
  EXPECT_EQ(vocabulary.Find("y"), 0);
  EXPECT_EQ(vocabulary.Token(0), "y");
}

TEST(Vocabulary, RefusesBadIds) {
  Vocabulary::Builder builder;
  EXPECT_EQ(builder.Add("a", -1).error().code(), ErrorCode::kInvalidFormat);
  EXPECT_EQ(builder.Add("a", std::int64_t{1} << 40).error().code(), ErrorCode::kInvalidFormat);
}

TEST(Vocabulary, LongestPrefixInWholeCharacters) {
  const Vocabulary vocabulary = MakeVocabulary({"a", "ab", "abcdefghijklmnop", "\u00e9", "\xc3"});
  EXPECT_EQ(vocabulary.FindLongestPrefix("abcdefghijklmnopq")->bytes, 16u);
  EXPECT_EQ(vocabulary.FindLongestPrefix("abcdefghijklmno")->bytes, 2u);
  EXPECT_EQ(vocabulary.FindLongestPrefix("\u00e9\u00e9")->id, 3);
  EXPECT_FALSE(vocabulary.FindLongestPrefix("\u00e8"));
  EXPECT_FALSE(vocabulary.FindLongestPrefix(""));
  EXPECT_FALSE(Vocabulary().FindLongestPrefix("a"));
}

TEST(MergeTable, LastMergeOfAPairCounts) {
  MergeTable table(3);
  table.Add(1, 2, {0, 5});
  table.Add(2, 1, {1, 6});
  table.Add(1, 2, {2, 7});
  EXPECT_EQ(table.Find(1, 2)->merged, 7);
  EXPECT_EQ(table.Find(2, 1)->rank, 1u);
  EXPECT_EQ(table.Find(2, 2), nullptr);
}

TEST(StringMatcher, LeftmostThenLongest) {
  StringMatcher matcher;
  matcher.Build({{"ab", 1}, {"abcd", 2}, {"bc", 3}, {"", 4}});
  const auto match = matcher.Find("xabcabcd", 0);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->value, 1);
  EXPECT_EQ(match->end, 3u);
  EXPECT_EQ(matcher.Find("xabcabcd", 3)->value, 2);
  EXPECT_FALSE(matcher.Find("xabcabcd", 8));
  EXPECT_FALSE(StringMatcher().Find("a", 0));
}

}  // namespace
}  // namespace mdsa
