// A clock that a test moves.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace mdsa::test {

// Every look at it takes a nanosecond, so that no two uses happen at the same time; it moves on
// otherwise only by Advance, which wakes those whose time has come. Thread-safe; must outlive those
// who wait on it.
class ManualClock final : public Clock {
 public:
  TimePoint Now() override {
    const MutexLock lock(mutex_);
    return now_ += std::chrono::nanoseconds(1);
  }

  bool WaitUntil(Mutex& mutex, CondVar& changed, std::stop_token stop, TimePoint until,
                 FunctionRef<bool()> ready) override MDSA_REQUIRES(mutex) {
    {
      const MutexLock lock(mutex_);
      waiting_.emplace_back(&mutex, &changed);
    }
    bool is_ready = false;
    changed.Wait(mutex, std::move(stop), [&] {
      is_ready = ready();
      return is_ready || Peek() >= until;
    });
    const MutexLock lock(mutex_);
    waiting_.erase(std::ranges::find(waiting_, std::pair(&mutex, &changed)));
    return is_ready;
  }

  // How many wait on it.
  std::size_t waiting() {
    const MutexLock lock(mutex_);
    return waiting_.size();
  }

  // Without the locks that waits on this clock use.
  void Advance(std::chrono::nanoseconds duration) {
    std::vector<std::pair<Mutex*, CondVar*>> waiting;
    {
      const MutexLock lock(mutex_);
      now_ += duration;
      waiting = waiting_;
    }
    for (const auto& [mutex, changed] : waiting) {
      const MutexLock lock(*mutex);
      changed->NotifyAll();
    }
  }

 private:
  TimePoint Peek() {
    const MutexLock lock(mutex_);
    return now_;
  }

  Mutex mutex_;
  TimePoint now_ MDSA_GUARDED_BY(mutex_) = TimePoint(std::chrono::hours(1));
  std::vector<std::pair<Mutex*, CondVar*>> waiting_ MDSA_GUARDED_BY(mutex_);
};

}  // namespace mdsa::test
