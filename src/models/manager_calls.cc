// Calls on models: their leases, and the memory they take beside the weights.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "models/manager_state.h"

namespace mdsa {

void ManagerState::ReturnLease(ModelSlot& slot) {
  // The end of a call is a use as well as its beginning, but not another one.
  slot.NoteUse(clock_.Now().time_since_epoch().count(), 0);
  const ModelSlot::Released left = slot.ReleaseLease();
  if (left.leases > 0) return;
  if (left.state == SlotState::kReady && waiting_for_leases_.load() == 0) return;
  const Afterwards afterwards(*this);
  Victims victims;
  {
    const MutexLock lock(mutex_);
    victims = residency_.Sweep(clock_.Now());
    AnnounceVictims(victims);
    Changed();
  }
  Free(std::move(victims));
}

// Calls do not queue: a load that waits for this very call to end may be in front.
Status ManagerState::MakeRoomForCall(const RecordPtr& record, std::stop_token stop,
                                     FunctionRef<std::uint64_t()> try_charge) {
  const Afterwards afterwards(*this);
  ++waiting_for_leases_;
  struct Done {
    std::atomic<int>& waiting;
    ~Done() { --waiting; }
  } const done{waiting_for_leases_};
  std::optional<WatchedWait> wait;
  while (true) {
    Victims victims;
    {
      const MutexLock lock(mutex_);
      if (!wait) wait = Watch();
      // Asked first: a call that ends after this lets the charge succeed, or ends the wait.
      const bool others_run = charged_calls_->load() > 0;
      const std::uint64_t missing = try_charge();
      if (missing == 0) return {};
      static_cast<void>(hits_.Collect());
      Residency::Step step =
          residency_.TryAtOnce(record, {missing, missing, 0}, clock_.Now(), EvictionReason::kBytes);
      AnnounceVictims(step.victims);
      victims = std::move(step.victims);
      // Nothing under way that would give bytes back: the wait would have no end.
      const bool hopeless = !others_run && !residency_.AnythingEnds();
      if (step.kind == Residency::Step::Kind::kRefused ||
          (step.kind == Residency::Step::Kind::kWait && hopeless)) {
        return std::unexpected(std::move(step.error));
      }
      if (step.kind == Residency::Step::Kind::kWait) {
        MDSA_TRY(AwaitChange(*wait, *record, step, stop));
      }
    }
    Free(std::move(victims));
    events_.Deliver();
  }
}

Status ManagerState::AwaitChange(WatchedWait& wait, const ResidencyRecord& record,
                                 const Residency::Step& step, const std::stop_token& stop) {
  const auto deadline = Later(wait.since, residency_.options().wait_timeout);
  const std::uint64_t seen = version_;
  const auto until =
      std::min({step.look_again.value_or(Clock::kNever), deadline, wait.report_at()});
  clock_.WaitUntil(mutex_, changed_, stop, until,
                   [&]() MDSA_REQUIRES(mutex_) { return version_ != seen; });
  ReportIfOld(wait, record, step.error.message());
  if (stop.stop_requested()) return Err(ErrorCode::kCancelled, "the call was cancelled");
  if (clock_.Now() < deadline) return {};
  ++residency_.counters().timeouts;
  return Err(ErrorCode::kDeadlineExceeded, "timed out waiting for memory: {}",
             step.error.message());
}

void ManagerState::CallEnded() {
  if (waiting_for_leases_.load() == 0) return;
  const MutexLock lock(mutex_);
  Changed();
}

}  // namespace mdsa
