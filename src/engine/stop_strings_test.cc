#include "engine/stop_strings.h"

#include <gtest/gtest.h>

#include "support/tiny_model.h"

namespace mdsa::engine {
namespace {

StopMatcher Make(std::vector<std::string> stops) { return *StopMatcher::Create(stops); }

TEST(StopMatcherTest, WithoutStopTextsEverythingPasses) {
  StopMatcher matcher = Make({});
  EXPECT_EQ(matcher.Push("abc"), "abc");
  EXPECT_EQ(matcher.Finish(), "");
}

TEST(StopMatcherTest, HoldsBackWhatCouldBecomeAStopText) {
  StopMatcher matcher = Make({"<|end|>"});
  EXPECT_EQ(matcher.Push("one <|"), "one ");
  EXPECT_EQ(matcher.Push("en"), "");
  EXPECT_EQ(matcher.Push("ough"), "<|enough");
  EXPECT_EQ(matcher.Push(" two <"), " two ");
  EXPECT_FALSE(matcher.stopped());
  EXPECT_EQ(matcher.Finish(), "<");
}

TEST(StopMatcherTest, EndsBeforeTheFirstStopText) {
  StopMatcher matcher = Make({"world", "lo w"});
  EXPECT_EQ(matcher.Push("hel"), "he");
  EXPECT_EQ(matcher.Push("lo world"), "l");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.Push("more"), "");
  EXPECT_EQ(matcher.Finish(), "");
}

TEST(StopMatcherTest, RestartsInsideAFailedMatch) {
  StopMatcher matcher = Make({"aab"});
  EXPECT_EQ(matcher.Push("a"), "");
  EXPECT_EQ(matcher.Push("a"), "");
  EXPECT_EQ(matcher.Push("a"), "a");
  EXPECT_EQ(matcher.Push("b"), "");
  EXPECT_TRUE(matcher.stopped());
}

// However a text is cut into pieces, the output is what precedes the first stop text, or all.
TEST(StopMatcherTest, CuttingDoesNotMatter) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    testing::RandomFloats random(seed);
    std::string text;
    for (int i = 0; i < 30; ++i) text += random.Next() < 0.0f ? 'a' : 'b';
    const std::vector<std::string> stops = {"abab", "bbb", "aaaaa"};
    std::size_t first = text.size();
    for (const std::string& stop : stops) first = std::min(first, text.find(stop));
    StopMatcher matcher = Make(stops);
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
      const auto n = static_cast<std::size_t>(1.0f + 2.0f * (random.Next() + 1.0f));
      out += matcher.Push(std::string_view(text).substr(i, n));
      i += n;
    }
    out += matcher.Finish();
    EXPECT_EQ(out, text.substr(0, first)) << text;
  }
}

TEST(StopMatcherTest, RefusesEmptyAndHalfCharacters) {
  for (const char* stop : {"", "\xA9"}) {
    const auto matcher = StopMatcher::Create(std::vector<std::string>{stop});
    ASSERT_FALSE(matcher);
    EXPECT_EQ(matcher.error().code(), ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace mdsa::engine
