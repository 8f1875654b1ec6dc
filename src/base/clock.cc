#include "base/clock.h"

#include <utility>

namespace mdsa {
namespace {

class SteadyClock final : public Clock {
 public:
  TimePoint Now() override { return std::chrono::steady_clock::now(); }
  bool WaitUntil(Mutex& mutex, CondVar& changed, std::stop_token stop, TimePoint until,
                 FunctionRef<bool()> ready) override MDSA_REQUIRES(mutex) {
    // The time to wait for is converted to other clocks on the way, where the largest overflows.
    if (until == kNever) return changed.Wait(mutex, std::move(stop), ready);
    return changed.WaitUntil(mutex, std::move(stop), until, ready);
  }
};

}  // namespace

Clock& Clock::Steady() {
  static SteadyClock clock;
  return clock;
}

}  // namespace mdsa
