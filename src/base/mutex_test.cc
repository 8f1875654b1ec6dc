#include "base/mutex.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace mdsa {
namespace {

TEST(MutexTest, OneThreadAtATime) {
  Mutex mutex;
  int count = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 1000; ++j) {
          const MutexLock lock(mutex);
          ++count;
        }
      });
    }
  }
  EXPECT_EQ(count, 4000);
}

TEST(CondVarTest, WakesWhenReady) {
  Mutex mutex;
  CondVar changed;
  bool ready = false;
  std::jthread setter([&] {
    const MutexLock lock(mutex);
    ready = true;
    changed.NotifyAll();
  });
  const MutexLock lock(mutex);
  EXPECT_TRUE(changed.Wait(mutex, {}, [&] { return ready; }));
}

TEST(CondVarTest, WakesWhenStopIsRequested) {
  Mutex mutex;
  CondVar changed;
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  const MutexLock lock(mutex);
  EXPECT_FALSE(changed.Wait(mutex, stop.get_token(), [] { return false; }));
}

}  // namespace
}  // namespace mdsa
