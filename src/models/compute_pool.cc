#include "models/compute_pool.h"

#include <charconv>
#include <cstdlib>

#include "base/error.h"
#include "base/mutex.h"
#include "hardware/host.h"

namespace mdsa {
namespace {

constexpr const char* kThreadsVariable = "MDSA_NUM_THREADS";
constexpr int kMaxThreads = 1024;

}  // namespace

Result<int> ComputeThreads() {
  const char* text = std::getenv(kThreadsVariable);
  if (text == nullptr || *text == '\0') return UsableCores();
  auto threads = ParseThreadCount(text);
  if (!threads) {
    return std::unexpected(std::move(threads).error().AddContext(kThreadsVariable));
  }
  return threads;
}

Result<int> ParseThreadCount(std::string_view text) {
  int threads = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (error != std::errc() || end != text.data() + text.size() || threads < 1 ||
      threads > kMaxThreads) {
    return Err(ErrorCode::kInvalidArgument, "a number of threads is from 1 to {}, not '{}'",
               kMaxThreads, text);
  }
  return threads;
}

Result<std::shared_ptr<ThreadPool>> SharedComputePool() {
  static Mutex mutex;
  // Weak, so that the threads end with the last model and none are left at the end of the process.
  static std::weak_ptr<ThreadPool> shared;
  MDSA_ASSIGN(const int threads, ComputeThreads());
  const MutexLock lock(mutex);
  std::shared_ptr<ThreadPool> pool = shared.lock();
  if (pool == nullptr) {
    pool = std::make_shared<ThreadPool>(threads);
    shared = pool;
  }
  return pool;
}

}  // namespace mdsa
