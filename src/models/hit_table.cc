#include "models/hit_table.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

namespace mdsa {
namespace {

// A small number that no other thread has while this one lives, as far as they suffice: a thread
// that stays would sooner or later share a plain count with one that comes and goes. A new thread
// takes over from one that has ended, and finds what that one found.
template <std::uint32_t kNumbers>
class ThreadNumber {
 public:
  ThreadNumber() {
    std::uint32_t taken = taken_.load(std::memory_order_relaxed);
    while (taken != kAll) {
      own_ = ~taken & (taken + 1);  // the lowest one that is free
      if (taken_.compare_exchange_weak(taken, taken | own_, std::memory_order_relaxed)) {
        value_ = static_cast<std::uint32_t>(std::countr_zero(own_));
        return;
      }
    }
    own_ = 0;
    value_ = shared_.fetch_add(1, std::memory_order_relaxed) % kNumbers;
  }
  ~ThreadNumber() { taken_.fetch_and(~own_, std::memory_order_relaxed); }
  ThreadNumber(const ThreadNumber&) = delete;
  ThreadNumber& operator=(const ThreadNumber&) = delete;

  std::uint32_t value() const { return value_; }

 private:
  static_assert(kNumbers < 32);
  static constexpr std::uint32_t kAll = (std::uint32_t{1} << kNumbers) - 1;
  static inline std::atomic<std::uint32_t> taken_ = 0;   // a bit each
  static inline std::atomic<std::uint32_t> shared_ = 0;  // where threads that came too late go
  std::uint32_t own_ = 0;
  std::uint32_t value_ = 0;
};

}  // namespace

HitTable::Copy& HitTable::OfThisThread() {
  thread_local const ThreadNumber<kCopies> number;
  return copies_[number.value()];
}

// A third of a hit is the look at the clock, but a coarser one would lose the order of uses by
// different threads.
std::int64_t HitTable::Stamp(Copy& copy) {
  const std::int64_t now = clock_.Now().time_since_epoch().count();
  copy.last_stamp = std::max(now, copy.last_stamp + 1);
  return copy.last_stamp;
}

HandleBodyPtr HitTable::Find(std::string_view id, const ModelConfig& config) {
  Copy& copy = OfThisThread();
  const MutexLock lock(copy.mutex);
  const auto found = copy.hits.find(id);
  if (found == copy.hits.end()) return nullptr;
  Hit& hit = found->second;
  if (hit.body->slot->state() != SlotState::kReady || hit.config != config) return nullptr;
  hit.last_use = Stamp(copy);
  ++hit.new_uses;
  ++copy.hit_count;
  return hit.body;
}

HandleBodyPtr HitTable::Add(const HandleBodyPtr& body, const ModelConfig& config) {
  Hit hit{std::make_shared<const HandleBody>(*body), config};
  Hit replaced;
  Copy& copy = OfThisThread();
  const MutexLock lock(copy.mutex);
  hit.last_use = Stamp(copy);
  hit.new_uses = 1;
  auto [entry, is_new] = copy.hits.try_emplace(body->slot->id(), std::move(hit));
  if (!is_new) {
    MoveInto(entry->second);
    replaced = std::exchange(entry->second, std::move(hit));
  }
  return entry->second.body;
}

void HitTable::MoveInto(Hit& hit) {
  hit.body->slot->NoteUse(hit.last_use, std::exchange(hit.new_uses, 0));
}

void HitTable::Remove(std::string_view id) {
  for (Copy& copy : copies_) {
    Hits::node_type removed;  // freed after the lock: a handle's tokenizer is large
    const MutexLock lock(copy.mutex);
    const auto found = copy.hits.find(id);
    if (found == copy.hits.end()) continue;
    MoveInto(found->second);
    removed = copy.hits.extract(found);
  }
}

bool HitTable::Use(ModelSlot& slot) {
  if (slot.state() != SlotState::kReady) return false;
  Copy& copy = OfThisThread();
  std::int64_t stamp = 0;
  {
    const MutexLock lock(copy.mutex);
    stamp = Stamp(copy);
    ++copy.hit_count;
  }
  slot.NoteUse(stamp);
  return true;
}

void HitTable::NoteUse(ModelSlot& slot) {
  Copy& copy = OfThisThread();
  std::int64_t stamp = 0;
  {
    const MutexLock lock(copy.mutex);
    stamp = Stamp(copy);
  }
  slot.NoteUse(stamp);
}

std::uint64_t HitTable::Collect() {
  std::uint64_t hits = 0;
  for (Copy& copy : copies_) {
    const MutexLock lock(copy.mutex);
    for (auto& [id, hit] : copy.hits) MoveInto(hit);
    hits += copy.hit_count;
  }
  return hits;
}

}  // namespace mdsa
