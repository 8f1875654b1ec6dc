// The part of a model's record that calls touch without a lock: its state, its leases, its use.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "base/check.h"
#include "mdsa/model.h"
#include "models/slot_state.h"

namespace mdsa {

// State and number of leases live in one word, so that a lease is granted only while the model is
// ready, and freeing begins only when there is none, each by one atomic step. Everything may be
// called from any thread; functions marked "under the manager's lock" are serialized by it. The
// object (Model or foreign) may be read by who holds a lease, and by the manager. Cache lines of
// its own, as a HandleBody has, made no request or lease faster.
class ModelSlot {
 public:
  // What the slot keeps in memory while it is loaded.
  struct Object {
    std::shared_ptr<Model> model;             // null for a foreign object
    std::shared_ptr<void> foreign;            // an object of the application, or null
    std::shared_ptr<void> foreign_tokenizer;  // or null
  };

  explicit ModelSlot(std::string id) : id_(std::move(id)) {}
  ModelSlot(const ModelSlot&) = delete;
  ModelSlot& operator=(const ModelSlot&) = delete;

  const std::string& id() const { return id_; }
  SlotState state() const { return StateOf(word_.load()); }
  std::int64_t leases() const { return LeasesOf(word_.load()); }

  // True, with one lease more, if the model is ready.
  bool TryLease() {
    std::uint64_t word = word_.load();
    do {
      if (StateOf(word) != SlotState::kReady) return false;
    } while (!word_.compare_exchange_weak(word, word + kOneLease));
    return true;
  }
  // What is left after it, and in which state: the last one out may have to wake the manager.
  struct Released {
    SlotState state;
    std::int64_t leases;
  };
  Released ReleaseLease() {
    const std::uint64_t before = word_.fetch_sub(kOneLease);
    MDSA_CHECK(LeasesOf(before) > 0);
    return {StateOf(before), LeasesOf(before) - 1};
  }

  // Under the manager's lock. The step must be in the table.
  void MoveTo(SlotState to, std::int64_t new_leases = 0) {
    std::uint64_t word = word_.load();
    do {
      MDSA_CHECK(MayFollow(StateOf(word), to));
    } while (!word_.compare_exchange_weak(word, Word(to, LeasesOf(word) + new_leases)));
  }
  // Under the manager's lock: draining to unloading, if no lease is left.
  bool TryBeginUnloading() {
    std::uint64_t idle = Word(SlotState::kDraining, 0);
    return word_.compare_exchange_strong(idle, Word(SlotState::kUnloading, 0));
  }

  // With a lease, or under the manager's lock.
  const Object& object() const { return object_; }
  // Requested when the model is unloaded by force.
  std::stop_token cancelled() const { return cancel_.get_token(); }

  // Under the manager's lock, while nobody can hold a lease.
  void SetObject(Object object) {
    cancel_ = std::stop_source();  // may run out of memory
    object_ = std::move(object);
  }
  Object TakeObject() { return std::exchange(object_, {}); }
  // Under the manager's lock; the stop is requested outside of it, for it runs callbacks.
  std::stop_source cancel_source() const { return cancel_; }

  // A use at this instant of the monotonic clock, in nanoseconds; uses of other threads may be
  // noted in any order.
  void NoteUse(std::int64_t at, std::uint64_t count = 1) {
    std::int64_t last = last_use_.load(std::memory_order_relaxed);
    while (last < at && !last_use_.compare_exchange_weak(last, at, std::memory_order_relaxed)) {
    }
    if (count > 0) uses_.fetch_add(count, std::memory_order_relaxed);
  }
  std::int64_t last_use() const { return last_use_.load(std::memory_order_relaxed); }
  std::uint64_t uses() const { return uses_.load(std::memory_order_relaxed); }
  void ResetUses() { uses_.store(0, std::memory_order_relaxed); }

 private:
  static constexpr std::uint64_t kStateBits = 8;
  static constexpr std::uint64_t kOneLease = std::uint64_t{1} << kStateBits;

  static constexpr std::uint64_t Word(SlotState state, std::int64_t leases) {
    return static_cast<std::uint64_t>(leases) << kStateBits | static_cast<std::uint64_t>(state);
  }
  static constexpr SlotState StateOf(std::uint64_t word) {
    return static_cast<SlotState>(word & (kOneLease - 1));
  }
  static constexpr std::int64_t LeasesOf(std::uint64_t word) {
    return static_cast<std::int64_t>(word >> kStateBits);
  }

  const std::string id_;
  std::atomic<std::uint64_t> word_ = Word(SlotState::kUnloaded, 0);
  std::atomic<std::int64_t> last_use_ = 0;
  std::atomic<std::uint64_t> uses_ = 0;
  Object object_;
  std::stop_source cancel_;
};

}  // namespace mdsa
