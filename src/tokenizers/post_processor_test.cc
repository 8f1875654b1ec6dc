#include "tokenizers/post_processor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mdsa {
namespace {

using testing::ElementsAre;
using testing::Pair;

const std::vector<TokenId> kFirst = {1, 2};
const std::vector<TokenId> kSecond = {3};

TEST(PostProcessor, Bert) {
  const auto post = PostProcessor::Bert(101, 102);
  const Encoding pair = post.ProcessPair(kFirst, kSecond, true);
  EXPECT_THAT(pair.ids, ElementsAre(101, 1, 2, 102, 3, 102));
  EXPECT_THAT(pair.type_ids, ElementsAre(0, 0, 0, 0, 1, 1));
  EXPECT_THAT(pair.special_tokens_mask, ElementsAre(1, 0, 0, 1, 0, 1));
  EXPECT_THAT(post.Process(kFirst, false).ids, ElementsAre(1, 2));
  EXPECT_EQ(post.added_tokens(false), 2u);
  EXPECT_EQ(post.added_tokens(true), 3u);
}

TEST(PostProcessor, Roberta) {
  const Encoding pair = PostProcessor::Roberta(0, 2).ProcessPair(kFirst, kSecond, true);
  EXPECT_THAT(pair.ids, ElementsAre(0, 1, 2, 2, 2, 3, 2));
  EXPECT_THAT(pair.type_ids, testing::Each(0));
}

TEST(PostProcessor, NoneKeepsSegments) {
  const Encoding pair = PostProcessor().ProcessPair(kFirst, kSecond, true);
  EXPECT_THAT(pair.ids, ElementsAre(1, 2, 3));
  EXPECT_THAT(pair.type_ids, ElementsAre(0, 0, 1));
}

TEST(TruncatePair, LongerFirst) {
  EXPECT_THAT(TruncatePair(3, 4, 10), Pair(3, 4));
  EXPECT_THAT(TruncatePair(2, 9, 6), Pair(2, 4));
  EXPECT_THAT(TruncatePair(9, 2, 6), Pair(4, 2));
  EXPECT_THAT(TruncatePair(9, 9, 7), Pair(3, 4));
  EXPECT_THAT(TruncatePair(9, 8, 7), Pair(4, 3));
  EXPECT_THAT(TruncatePair(9, 9, 0), Pair(0, 0));
}

}  // namespace
}  // namespace mdsa
