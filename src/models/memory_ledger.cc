#include "models/memory_ledger.h"

#include <limits>

#include "base/check.h"

namespace mdsa {

bool MemoryLedger::TryAdd(std::uint64_t bytes) {
  const std::uint64_t limit = limit_bytes_.value_or(std::numeric_limits<std::uint64_t>::max());
  std::uint64_t reserved = reserved_.load();
  do {
    if (bytes > limit || reserved > limit - bytes) return false;
  } while (!reserved_.compare_exchange_weak(reserved, reserved + bytes));
  std::uint64_t peak = peak_.load();
  while (peak < reserved + bytes && !peak_.compare_exchange_weak(peak, reserved + bytes)) {
  }
  return true;
}

Reservation::~Reservation() {
  if (ledger_ != nullptr) ledger_->Subtract(bytes_);
}

bool Reservation::TryResize(std::uint64_t bytes) {
  MDSA_CHECK(ledger_ != nullptr);
  if (bytes > bytes_) {
    if (!ledger_->TryAdd(bytes - bytes_)) return false;
  } else {
    ledger_->Subtract(bytes_ - bytes);
  }
  bytes_ = bytes;
  return true;
}

}  // namespace mdsa
