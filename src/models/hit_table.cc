#include "models/hit_table.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

namespace mdsa {

HitTable::Copy& HitTable::OfThisThread() {
  static std::atomic<std::size_t> threads = 0;
  thread_local const std::size_t index = threads.fetch_add(1, std::memory_order_relaxed) % kCopies;
  return copies_[index];
}

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

void HitTable::Clear() {
  for (Copy& copy : copies_) {
    Hits removed;
    const MutexLock lock(copy.mutex);
    for (auto& [id, hit] : copy.hits) MoveInto(hit);
    removed.swap(copy.hits);
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
