// Who pays for the memory that calls take beside the weights.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <utility>

#include "mdsa/result.h"

namespace mdsa {

// Asked before the memory of a call is allocated. Thread-safe.
class MemoryAccount {
 public:
  virtual ~MemoryAccount() = default;
  // Returns when `bytes` are granted; may wait for other calls to end. kResourceExhausted if they
  // cannot be had, kDeadlineExceeded, or kCancelled by `stop`.
  virtual Status Charge(std::uint64_t bytes, std::stop_token stop) = 0;
  // What was granted and is free again.
  virtual void Release(std::uint64_t bytes) noexcept = 0;
};

// The memory of one call: charged when made, released when destroyed, which is after the memory
// itself. Move-only.
class MemoryCharge {
 public:
  MemoryCharge() = default;
  // Without an account nothing is charged.
  static Result<MemoryCharge> Take(std::shared_ptr<MemoryAccount> account, std::uint64_t bytes,
                                   std::stop_token stop = {}) {
    MemoryCharge charge;
    if (account == nullptr) return charge;
    if (auto granted = account->Charge(bytes, std::move(stop)); !granted) {
      return std::unexpected(std::move(granted).error());
    }
    charge.account_ = std::move(account);
    charge.bytes_ = bytes;
    return charge;
  }
  MemoryCharge(MemoryCharge&& other) noexcept
      : account_(std::move(other.account_)), bytes_(std::exchange(other.bytes_, 0)) {}
  MemoryCharge& operator=(MemoryCharge&& other) noexcept {
    std::swap(account_, other.account_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MemoryCharge() {
    if (account_ != nullptr) account_->Release(bytes_);
  }

 private:
  std::shared_ptr<MemoryAccount> account_;
  std::uint64_t bytes_ = 0;
};

}  // namespace mdsa
