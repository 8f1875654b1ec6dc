// A mutex, its scoped lock and its condition variable, with the annotations that let clang prove
// that guarded data is only touched under its lock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

#include "base/thread_annotations.h"

namespace mdsa {

// Not recursive. Lower-case names make it a standard lockable, as the condition variable needs.
class MDSA_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() MDSA_ACQUIRE() { mutex_.lock(); }
  void unlock() MDSA_RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Holds the mutex from construction to the end of its scope.
class MDSA_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) MDSA_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() MDSA_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Thread-safe.
class CondVar {
 public:
  // Gives the mutex back while it waits. Returns ready(), which is false only if `stop` was
  // requested first. `ready` runs with the mutex held.
  template <typename Ready>
  bool Wait(Mutex& mutex, std::stop_token stop, Ready ready) MDSA_REQUIRES(mutex) {
    return condition_.wait(mutex, std::move(stop), std::move(ready));
  }
  // The same, but gives up at `until` of the steady clock.
  template <typename Ready>
  bool WaitUntil(Mutex& mutex, std::stop_token stop, std::chrono::steady_clock::time_point until,
                 Ready ready) MDSA_REQUIRES(mutex) {
    return condition_.wait_until(mutex, std::move(stop), until, std::move(ready));
  }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable_any condition_;
};

}  // namespace mdsa
