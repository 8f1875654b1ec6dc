#include "progress_bar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mdsa::cli {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

class ProgressBarTest : public testing::Test {
 protected:
  ProgressBar Bar(std::optional<TerminalStyle> style) {
    return ProgressBar(
        "Loading m", style, [this](std::string_view text) { written_.emplace_back(text); },
        [this] { return now_; });
  }

  std::chrono::steady_clock::time_point now_{};
  std::vector<std::string> written_;
};

TEST_F(ProgressBarTest, WritesNothingWithoutATerminal) {
  ProgressBar bar = Bar(std::nullopt);
  now_ += milliseconds(5000);
  bar.Update(1, 2);
  bar.Clear();
  EXPECT_THAT(written_, SizeIs(0));
}

TEST_F(ProgressBarTest, WaitsForABlink) {
  ProgressBar bar = Bar(TerminalStyle{});
  now_ += milliseconds(299);
  bar.Update(1, 2);
  bar.Clear();
  EXPECT_THAT(written_, SizeIs(0));
  now_ += milliseconds(1);
  bar.Update(1, 2);
  EXPECT_THAT(written_, SizeIs(1));
}

TEST_F(ProgressBarTest, DrawsNoFasterThanTheInterval) {
  ProgressBar bar = Bar(TerminalStyle{});
  now_ += ProgressBar::kDelay;
  for (int i = 0; i < 10; ++i) {
    bar.Update(static_cast<std::uint64_t>(i), 10);
    now_ += milliseconds(10);
  }
  EXPECT_THAT(written_, SizeIs(2));
}

TEST_F(ProgressBarTest, ShowsShareAndSizeAndIsWiped) {
  {
    ProgressBar bar = Bar(TerminalStyle{.width = 80, .color = false});
    now_ += ProgressBar::kDelay;
    bar.Update(49'000'000, 98'000'000);
    ASSERT_THAT(written_, SizeIs(1));
    EXPECT_EQ(written_[0].substr(0, 4), "\r\x1b[K");
    EXPECT_THAT(written_[0], HasSubstr("Loading m  [====="));
    EXPECT_THAT(written_[0], HasSubstr("]   50%  49.0 MB of 98.0 MB"));
    EXPECT_LE(written_[0].size(), 4u + 79u);
  }
  ASSERT_THAT(written_, SizeIs(2));
  EXPECT_EQ(written_[1], "\r\x1b[K");
}

TEST_F(ProgressBarTest, ColorIsAChoice) {
  ProgressBar with = Bar(TerminalStyle{.width = 80, .color = true});
  ProgressBar without = Bar(TerminalStyle{.width = 80, .color = false});
  now_ += ProgressBar::kDelay;
  with.Update(1, 2);
  without.Update(1, 2);
  EXPECT_THAT(written_[0], HasSubstr("\x1b[36m"));
  EXPECT_THAT(written_[1], Not(HasSubstr("\x1b[36m")));
}

TEST_F(ProgressBarTest, FitsANarrowTerminal) {
  for (int width = 1; width < 60; ++width) {
    ProgressBar bar = Bar(TerminalStyle{.width = width, .color = false});
    now_ += ProgressBar::kDelay;
    bar.Update(1, 3);
    EXPECT_LE(written_.back().size(), 4u + static_cast<std::size_t>(width - 1)) << width;
  }
}

TEST_F(ProgressBarTest, UnknownTotalIsNoDivision) {
  ProgressBar bar = Bar(TerminalStyle{});
  now_ += ProgressBar::kDelay;
  bar.Update(0, 0);
  EXPECT_THAT(written_.back(), HasSubstr("  0%"));
}

}  // namespace
}  // namespace mdsa::cli
