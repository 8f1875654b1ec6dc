// What the manager tells, and what it does on its own: freeing victims, expiring the unused.
#include <algorithm>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "models/manager_state.h"
#include "models/running_calls.h"

namespace mdsa {
ModelEvent ManagerState::EventOf(ModelEvent::Kind kind, const ResidencyRecord& record) const {
  ModelEvent event;
  event.kind = kind;
  event.model_id = record.id();
  event.models = residency_.resident();
  const auto ledger = residency_.ledgers().find(record.device);
  if (ledger != residency_.ledgers().end()) {
    event.reserved_bytes = ledger->second->reserved_bytes();
    event.limit_bytes = ledger->second->limit_bytes().value_or(0);
  }
  return event;
}

void ManagerState::AnnounceVictims(const Victims& victims) {
  for (const Residency::Victim& victim : victims) {
    hits_.Remove(victim.record->id());
    if (!victim.reason || !events_.has_sinks()) continue;
    ModelEvent event = EventOf(ModelEvent::Kind::kEvicted, *victim.record);
    event.bytes = victim.record->reservation.bytes();
    event.reason = victim.reason;
    event.for_model = victim.for_model;
    events_.Post(std::move(event));
  }
}

void ManagerState::Free(Victims victims) {
  if (victims.empty()) return;
  for (const Residency::Victim& victim : victims) {
    // Nobody else reads the object of a slot that is unloading.
    const Freeing freeing;
    const ModelSlot::Object object = victim.record->slot->TakeObject();
  }
  if (source_.trim) source_.trim();
  {
    const MutexLock lock(mutex_);
    for (const Residency::Victim& victim : victims) {
      ModelEvent event = EventOf(ModelEvent::Kind::kFreed, *victim.record);
      event.bytes = victim.record->reservation.bytes();
      event.seconds = Seconds(clock_.Now() - victim.record->idle_since);
      residency_.Freed(victim.record);
      ForgetIfUnused(victim.record);
      event.reserved_bytes -= std::min(event.reserved_bytes, event.bytes);
      --event.models;
      events_.Post(std::move(event));
    }
    Changed();
  }
  events_.Deliver();
}

void ManagerState::ReportIfOld(WatchedWait& wait, const ResidencyRecord& record,
                               std::string_view what) {
  const auto now = clock_.Now();
  if (now < wait.report_at()) return;
  wait.report_after *= 2;
  ++residency_.counters().long_waits;
  ModelEvent event = EventOf(ModelEvent::Kind::kWaiting, record);
  event.what = what;
  event.seconds = Seconds(now - wait.since);
  events_.Post(std::move(event));
}

Status ManagerState::StartHousekeeper() {
  if (housekeeper_ || closed_) return {};
  try {
    housekeeper_.emplace(
        [self = shared_from_this()](std::stop_token stop) { self->Housekeep(std::move(stop)); });
  } catch (const std::system_error& error) {
    return Err(ErrorCode::kResourceExhausted, "no thread to watch times to live on: {}",
               error.what());
  }
  return {};
}

void ManagerState::Housekeep(std::stop_token stop) {
  while (!stop.stop_requested()) {
    Victims victims;
    {
      const MutexLock lock(mutex_);
      static_cast<void>(hits_.Collect());
      Clock::TimePoint next;
      victims = residency_.Expire(clock_.Now(), &next);
      AnnounceVictims(victims);
      if (victims.empty()) {
        const std::uint64_t seen = version_;
        clock_.WaitUntil(mutex_, changed_, stop, next,
                         [&]() MDSA_REQUIRES(mutex_) { return version_ != seen; });
        continue;
      }
    }
    Free(std::move(victims));
  }
}

}  // namespace mdsa
