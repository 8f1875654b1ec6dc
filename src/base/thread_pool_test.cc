#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <latch>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

namespace mdsa {
namespace {

// Every index exactly once, every range non-empty and within the grain.
void ExpectCoversOnce(ThreadPool& pool, std::int64_t n, std::int64_t grain) {
  std::vector<std::atomic<int>> visits(static_cast<std::size_t>(n));
  std::atomic<bool> ranges_ok{true};
  pool.ParallelFor(n, grain, [&](std::int64_t begin, std::int64_t end) {
    if (begin >= end || end - begin > grain) ranges_ok = false;
    for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
  });
  EXPECT_TRUE(ranges_ok);
  for (const auto& count : visits) ASSERT_EQ(count, 1);
}

TEST(ThreadPoolTest, CoversTheRangeOnce) {
  ThreadPool pool(4);
  for (std::int64_t n : {1, 2, 7, 64, 1000}) {
    for (std::int64_t grain : {1, 3, 64, 5000}) ExpectCoversOnce(pool, n, grain);
  }
}

TEST(ThreadPoolTest, EmptyLoopCallsNothing) {
  ThreadPool pool(3);
  for (std::int64_t n : {0, -5}) {
    pool.ParallelFor(n, 1, [](std::int64_t, std::int64_t) { ADD_FAILURE(); });
  }
}

TEST(ThreadPoolTest, OneThreadRunsInOrderOnTheCaller) {
  ThreadPool pool(1);
  EXPECT_EQ(pool.threads(), 1);
  std::vector<std::int64_t> begins;
  pool.ParallelFor(10, 3, [&](std::int64_t begin, std::int64_t) { begins.push_back(begin); });
  EXPECT_EQ(begins, (std::vector<std::int64_t>{0, 3, 6, 9}));
}

TEST(ThreadPoolTest, ThreadCountsBelowOneMeanOne) {
  EXPECT_EQ(ThreadPool(0).threads(), 1);
  EXPECT_EQ(ThreadPool(-3).threads(), 1);
}

// Only passes if as many threads as the pool claims are inside the loop at the same time.
TEST(ThreadPoolTest, AllThreadsTakePart) {
  constexpr int kThreads = 4;
  ThreadPool pool(kThreads);
  for (int round = 0; round < 20; ++round) {
    std::latch everyone(kThreads);
    pool.ParallelFor(kThreads, 1, [&](std::int64_t, std::int64_t) { everyone.arrive_and_wait(); });
  }
}

TEST(ThreadPoolTest, ResultsAreVisibleToTheCaller) {
  ThreadPool pool(3);
  std::vector<std::int64_t> squares(501);
  for (int round = 1; round <= 200; ++round) {
    pool.ParallelFor(501, 7, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) squares[static_cast<std::size_t>(i)] = i * round;
    });
    for (std::int64_t i = 0; i < 501; ++i) {
      ASSERT_EQ(squares[static_cast<std::size_t>(i)], i * round);
    }
  }
}

TEST(ThreadPoolTest, NestedLoopsFinish) {
  ThreadPool pool(4);
  std::atomic<std::int64_t> total{0};
  pool.ParallelFor(16, 1, [&](std::int64_t, std::int64_t) {
    pool.ParallelFor(100, 9, [&](std::int64_t begin, std::int64_t end) { total += end - begin; });
  });
  EXPECT_EQ(total, 1600);
}

// A caller that holds the workers must not make another caller wait.
TEST(ThreadPoolTest, SecondCallerFinishesWhileTheFirstIsBlocked) {
  ThreadPool pool(2);
  std::latch inside(2), release(1);
  std::thread first([&] {
    pool.ParallelFor(2, 1, [&](std::int64_t, std::int64_t) {
      inside.count_down();
      release.wait();
    });
  });
  inside.wait();
  ExpectCoversOnce(pool, 100, 3);
  release.count_down();
  first.join();
}

TEST(ThreadPoolTest, ConcurrentCallersEachGetTheirWholeLoop) {
  ThreadPool pool(3);
  std::latch start(4);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      start.arrive_and_wait();
      for (int round = 0; round < 200; ++round) {
        const std::int64_t n = 50 + caller * 13 + round % 5;
        std::atomic<std::int64_t> sum{0};
        pool.ParallelFor(n, 4, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) sum += i;
        });
        ASSERT_EQ(sum, n * (n - 1) / 2);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST(ThreadPoolTest, KeepsTheThreadsThatTheSystemGave) {
  int started = 0;
  ThreadPool pool(10, [&](std::function<void()> run) {
    if (started == 2) {
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    }
    ++started;
    return std::thread(std::move(run));
  });
  EXPECT_EQ(pool.threads(), 3);
  std::latch everyone(3);
  pool.ParallelFor(3, 1, [&](std::int64_t, std::int64_t) { everyone.arrive_and_wait(); });
  ExpectCoversOnce(pool, 100, 3);
}

// Both threads are inside a range before one of them throws, so each case is what it says.
void ExpectRethrown(bool from_worker) {
  ThreadPool pool(2);
  const std::thread::id caller = std::this_thread::get_id();
  std::latch both(2);
  std::atomic<int> inside{0};
  EXPECT_THROW(pool.ParallelFor(2, 1,
                                [&](std::int64_t, std::int64_t) {
                                  ++inside;
                                  both.arrive_and_wait();
                                  const bool worker = std::this_thread::get_id() != caller;
                                  if (worker == from_worker) throw std::runtime_error("body");
                                  --inside;
                                }),
               std::runtime_error);
  EXPECT_EQ(inside, 1);  // the one that threw; the other had finished
  // The workers are free again: both threads meet in the next loop.
  std::latch again(2);
  pool.ParallelFor(2, 1, [&](std::int64_t, std::int64_t) { again.arrive_and_wait(); });
  ExpectCoversOnce(pool, 100, 3);
}

TEST(ThreadPoolTest, ExceptionOfAWorkerIsRethrownOnTheCaller) { ExpectRethrown(true); }

TEST(ThreadPoolTest, ExceptionOfTheCallerWaitsForTheWorkers) { ExpectRethrown(false); }

TEST(ThreadPoolTest, NoRangeBeginsAfterAnException) {
  ThreadPool pool(1);
  int calls = 0;
  const auto body = [&](std::int64_t, std::int64_t) {
    ++calls;
    throw std::runtime_error("body");
  };
  EXPECT_THROW(pool.ParallelFor(10, 1, body), std::runtime_error);
  EXPECT_EQ(calls, 1);
}

// A worker that starts late must still see the request to stop.
TEST(ThreadPoolTest, DestroyedRightAfterConstruction) {
  for (int round = 0; round < 200; ++round) ThreadPool pool(4);
}

}  // namespace
}  // namespace mdsa
