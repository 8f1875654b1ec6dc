// A fixed set of threads for data-parallel loops.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "base/function_ref.h"

namespace mdsa {

// Thread-safe: ParallelFor may be called from any number of threads. One loop at a time uses the
// workers; a caller that finds them busy runs its whole loop itself instead of waiting, so
// concurrent requests never queue behind each other and a nested loop cannot deadlock.
class ThreadPool {
 public:
  // Starts a thread that runs what it is given.
  using StartThread = FunctionRef<std::thread(std::function<void()>)>;

  // `threads` counts the calling thread: ThreadPool(1) starts none. Values below 1 mean 1. Where
  // the system gives fewer threads, the pool has fewer; see threads().
  explicit ThreadPool(int threads);
  // The same with threads from `start`, which is called during construction only.
  ThreadPool(int threads, StartThread start);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) over disjoint ranges that together cover [0, n), each at most `grain`
  // long (grain >= 1), and returns when all have finished. The caller takes part. Ranges are handed
  // out in ascending order, first come first served. If `body` throws, on whatever thread, no
  // further range begins, and the first exception is rethrown here when all have finished.
  void ParallelFor(std::int64_t n, std::int64_t grain,
                   FunctionRef<void(std::int64_t begin, std::int64_t end)> body);

 private:
  struct Job;

  void WorkerLoop();
  static void RunRanges(Job& job);

  std::atomic<bool> busy_{false};        // a caller's loop owns the workers
  std::atomic<Job*> job_{nullptr};       // the running loop; null between loops
  std::atomic<std::uint32_t> epoch_{0};  // bumped to publish a loop; workers wait on it
  std::atomic<int> inside_{0};           // workers that may still touch *job_
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace mdsa
