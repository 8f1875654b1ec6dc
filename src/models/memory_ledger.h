// The bytes of one device: who reserved how many, and how many there may be.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace mdsa {

class MemoryLedger;

// Bytes granted by a ledger, given back when this is destroyed: after the memory is. Move-only;
// an empty one holds 0. Thread-compatible.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept
      : ledger_(std::move(other.ledger_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Reservation& operator=(Reservation&& other) noexcept {
    Reservation old(std::move(*this));
    ledger_ = std::move(other.ledger_);
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }
  ~Reservation();

  std::uint64_t bytes() const { return bytes_; }
  // Less is always granted; false, and nothing changed, if more exceeds the limit. Not of an empty
  // one.
  bool TryResize(std::uint64_t bytes);

 private:
  friend class MemoryLedger;
  Reservation(std::shared_ptr<MemoryLedger> ledger, std::uint64_t bytes)
      : ledger_(std::move(ledger)), bytes_(bytes) {}

  std::shared_ptr<MemoryLedger> ledger_;
  std::uint64_t bytes_ = 0;
};

// Invariant: reserved() is the sum of all living reservations and never exceeds the limit.
// Thread-safe, without locks.
class MemoryLedger : public std::enable_shared_from_this<MemoryLedger> {
 public:
  static std::shared_ptr<MemoryLedger> Create(std::string device,
                                              std::optional<std::uint64_t> limit_bytes) {
    return std::shared_ptr<MemoryLedger>(new MemoryLedger(std::move(device), limit_bytes));
  }

  const std::string& device() const { return device_; }
  const std::optional<std::uint64_t>& limit_bytes() const { return limit_bytes_; }
  std::uint64_t reserved_bytes() const { return reserved_.load(); }
  std::uint64_t peak_bytes() const { return peak_.load(); }

  // nullopt if that exceeds the limit.
  std::optional<Reservation> TryReserve(std::uint64_t bytes) {
    if (!TryAdd(bytes)) return std::nullopt;
    return Reservation(shared_from_this(), bytes);
  }

 private:
  friend class Reservation;
  MemoryLedger(std::string device, std::optional<std::uint64_t> limit_bytes)
      : device_(std::move(device)), limit_bytes_(limit_bytes) {}

  bool TryAdd(std::uint64_t bytes);
  void Subtract(std::uint64_t bytes) { reserved_.fetch_sub(bytes); }

  const std::string device_;
  const std::optional<std::uint64_t> limit_bytes_;
  std::atomic<std::uint64_t> reserved_ = 0;
  std::atomic<std::uint64_t> peak_ = 0;
};

}  // namespace mdsa
