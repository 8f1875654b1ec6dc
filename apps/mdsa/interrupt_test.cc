#include "interrupt.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <latch>
#include <stop_token>

namespace mdsa::cli {
namespace {

TEST(InterruptTest, SignalRequestsAStopAndWakesPoll) {
  Interrupt interrupt;
  EXPECT_FALSE(interrupt.requested());
  std::latch stopped(1);
  const std::stop_callback callback(interrupt.token(), [&] { stopped.count_down(); });
  ASSERT_EQ(kill(getpid(), SIGINT), 0);
  stopped.wait();
  EXPECT_TRUE(interrupt.requested());
  pollfd wait{interrupt.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 10'000), 1);
}

TEST(InterruptTest, EndsWithoutASignal) {
  const Interrupt interrupt;
  EXPECT_FALSE(interrupt.requested());
}

void StopTwice() {
  const Interrupt interrupt;
  for (;;) kill(getpid(), SIGTERM);
}

TEST(InterruptDeathTest, SecondSignalEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(StopTwice(), testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace mdsa::cli
