#include "base/thread_pool.h"

#include <algorithm>
#include <exception>
#include <new>
#include <system_error>
#include <utility>

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
  std::atomic<bool> failed{false};
  std::exception_ptr error{};  // written by who sets `failed`, read when all have finished
};

ThreadPool::ThreadPool(int threads)
    : ThreadPool(threads, [](std::function<void()> run) { return std::thread(std::move(run)); }) {}

ThreadPool::ThreadPool(int threads, StartThread start) {
  workers_.reserve(static_cast<std::size_t>(std::max(threads - 1, 0)));
  // An exception must not leave the constructor: the threads that run already would then be
  // destroyed unjoined, which terminates the process.
  try {
    for (int i = 1; i < threads; ++i) workers_.push_back(start([this] { WorkerLoop(); }));
  } catch (const std::system_error&) {  // the limit of threads or of address space
  } catch (const std::bad_alloc&) {
  }
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
    try {
      job.body(begin, std::min(begin + job.grain, job.n));
    } catch (...) {
      if (!job.failed.exchange(true)) job.error = std::current_exception();
      job.next.store(job.n, std::memory_order_relaxed);  // no range begins any more
    }
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
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace mdsa
