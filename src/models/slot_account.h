// The memory of the calls on one model: what the model keeps free for them, then what its ledger
// gives.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <utility>

#include "base/memory_account.h"
#include "base/mutex.h"
#include "models/manager_state.h"

namespace mdsa {

// Each call charges once, before it begins, all that it will take. So one that waits here holds
// nothing that another waits for, and a call no larger than usual always finds its memory while it
// is alone. Thread-safe.
class SlotAccount final : public MemoryAccount {
 public:
  SlotAccount(std::weak_ptr<ManagerState> manager, RecordPtr record,
              const std::shared_ptr<MemoryLedger>& ledger,
              std::shared_ptr<std::atomic<int>> charged_calls)
      : manager_(std::move(manager)),
        record_(std::move(record)),
        charged_calls_(std::move(charged_calls)),
        extra_(*ledger->TryReserve(0)) {}

  // What the model's own reservation holds for calls; before the model is ready.
  void SetKept(std::uint64_t bytes) MDSA_EXCLUDES(mutex_);
  Status Charge(std::uint64_t bytes, std::stop_token stop) override MDSA_EXCLUDES(mutex_);
  void Release(std::uint64_t bytes) noexcept override MDSA_EXCLUDES(mutex_);

 private:
  // 0, and charged, or how many bytes the ledger lacks.
  std::uint64_t TryCharge(std::uint64_t bytes) MDSA_EXCLUDES(mutex_);

  const std::weak_ptr<ManagerState> manager_;
  const RecordPtr record_;
  const std::shared_ptr<std::atomic<int>> charged_calls_;  // of the whole manager
  Mutex mutex_;
  std::uint64_t kept_ MDSA_GUARDED_BY(mutex_) = 0;
  std::uint64_t charged_ MDSA_GUARDED_BY(mutex_) = 0;
  Reservation extra_ MDSA_GUARDED_BY(mutex_);  // of what is charged, the part beyond kept_
};

}  // namespace mdsa
