#include "base/thread_pool.h"

#include <algorithm>

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mdsa {
namespace {

// How long a worker spins for the next loop before it sleeps: a forward pass issues loops a few
// microseconds apart, and waking a sleeping thread costs more than one such gap.
constexpr int kSpinIterations = 4000;

void SpinPause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

struct ThreadPool::Job {
  FunctionRef<void(std::int64_t, std::int64_t)> body;
  std::int64_t n;
  std::int64_t grain;
  std::atomic<std::int64_t> next{0};
};

ThreadPool::ThreadPool(int threads) {
  workers_.reserve(static_cast<std::size_t>(std::max(threads - 1, 0)));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { WorkerLoop(); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::RunRanges(Job& job) {
  for (;;) {
    const std::int64_t begin = job.next.fetch_add(job.grain, std::memory_order_relaxed);
    if (begin >= job.n) return;
    job.body(begin, std::min(begin + job.grain, job.n));
  }
}

void ThreadPool::WorkerLoop() {
  // The value at construction, not the current one: a thread that starts late must still see a loop
  // or the stop that was published before it ran.
  std::uint32_t seen = 0;
  for (;;) {
    int spins = 0;
    while (epoch_.load(std::memory_order_acquire) == seen) {
      if (++spins < kSpinIterations) {
        SpinPause();
      } else {
        epoch_.wait(seen, std::memory_order_acquire);
      }
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_acquire)) return;
    // Announce first, then look: the owner clears job_ and then waits for inside_ to reach zero, so
    // a worker that sees a job here is always waited for.
    inside_.fetch_add(1, std::memory_order_seq_cst);
    if (Job* job = job_.load(std::memory_order_seq_cst)) RunRanges(*job);
    inside_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::ParallelFor(std::int64_t n, std::int64_t grain,
                             FunctionRef<void(std::int64_t, std::int64_t)> body) {
  MDSA_CHECK(grain >= 1);
  if (n <= 0) return;
  if (n <= grain || workers_.empty() || busy_.exchange(true, std::memory_order_acquire)) {
    for (std::int64_t begin = 0; begin < n; begin += grain) body(begin, std::min(begin + grain, n));
    return;
  }
  Job job{body, n, grain};
  job_.store(&job, std::memory_order_seq_cst);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  RunRanges(job);
  job_.store(nullptr, std::memory_order_seq_cst);
  for (int spins = 0; inside_.load(std::memory_order_seq_cst) != 0; ++spins) {
    if (spins < kSpinIterations) {
      SpinPause();
    } else {
      std::this_thread::yield();  // more threads than cores: let the worker finish its range
    }
  }
  busy_.store(false, std::memory_order_release);
}

}  // namespace mdsa
