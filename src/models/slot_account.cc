#include "models/slot_account.h"

#include "base/checked_math.h"
#include "base/error.h"

namespace mdsa {

void SlotAccount::SetKept(std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  kept_ = bytes;
}

std::uint64_t SlotAccount::TryCharge(std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  const std::uint64_t charged = charged_ + bytes;
  const std::uint64_t beyond = charged > kept_ ? charged - kept_ : 0;
  if (!extra_.TryResize(beyond)) return beyond - extra_.bytes();
  charged_ = charged;
  ++*charged_calls_;
  return 0;
}

Status SlotAccount::Charge(std::uint64_t bytes, std::stop_token stop) {
  if (!CheckedAdd<std::uint64_t>(bytes, std::uint64_t{1} << 62)) {
    return Err(ErrorCode::kResourceExhausted, "a call that needs {} bytes", bytes);
  }
  const std::uint64_t missing = TryCharge(bytes);
  if (missing == 0) return {};
  const std::shared_ptr<ManagerState> manager = manager_.lock();
  if (manager == nullptr) {
    return Err(ErrorCode::kFailedPrecondition, "the manager of model '{}' is gone", record_->id());
  }
  return manager->MakeRoomForCall(record_, missing, std::move(stop),
                                  [&] { return TryCharge(bytes) == 0; });
}

void SlotAccount::Release(std::uint64_t bytes) noexcept {
  {
    const MutexLock lock(mutex_);
    charged_ -= bytes;
    extra_.TryResize(charged_ > kept_ ? charged_ - kept_ : 0);
    --*charged_calls_;
  }
  if (const std::shared_ptr<ManagerState> manager = manager_.lock()) manager->CallEnded();
}

}  // namespace mdsa
