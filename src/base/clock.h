// Monotonic time and waits that end by it, so that tests can put a clock of their own in place.
#pragma once

#include <chrono>
#include <stop_token>

#include "base/function_ref.h"
#include "base/mutex.h"

namespace mdsa {

// Thread-safe.
class Clock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  virtual ~Clock() = default;
  // Never goes back.
  virtual TimePoint Now() = 0;
  // Gives `mutex` back while it waits on `changed`, until ready(), `until` or `stop`; returns
  // ready(), which runs with the mutex held.
  virtual bool WaitUntil(Mutex& mutex, CondVar& changed, std::stop_token stop, TimePoint until,
                         FunctionRef<bool()> ready) MDSA_REQUIRES(mutex) = 0;

  // Not to be waited for.
  static constexpr TimePoint kNever = TimePoint::max();

  // std::chrono::steady_clock.
  static Clock& Steady();
};

inline double Seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

// `time` + `duration`, or kNever where that is out of range.
inline Clock::TimePoint Later(Clock::TimePoint time, std::chrono::nanoseconds duration) {
  return duration > Clock::kNever - time ? Clock::kNever : time + duration;
}

}  // namespace mdsa
