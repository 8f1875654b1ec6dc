#include "models/slot_account.h"

#include <utility>

#include "base/error.h"

namespace mdsa {
namespace {

// No machine has so much, and the sums of what is charged cannot wrap.
constexpr std::uint64_t kAbsurdBytes = std::uint64_t{1} << 60;

}  // namespace

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
  if (bytes > kAbsurdBytes) {
    return Err(ErrorCode::kResourceExhausted, "a call that needs {} bytes", bytes);
  }
  if (TryCharge(bytes) == 0) return {};
  const std::shared_ptr<ManagerState> manager = manager_.lock();
  if (manager == nullptr) {
    return Err(ErrorCode::kFailedPrecondition, "the manager of model '{}' is gone", record_->id());
  }
  return manager->MakeRoomForCall(record_, std::move(stop), [&] { return TryCharge(bytes); });
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
