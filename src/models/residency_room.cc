// Decisions about room: what the policy is asked, and what is made of its answers.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "models/residency.h"

namespace mdsa {
namespace {

using std::chrono::nanoseconds;
using Kind = ResidencyDecision::Kind;

// How often a decision is taken again because a lease came in between, before it has to wait.
constexpr int kAttempts = 8;

}  // namespace

std::vector<SlotSnapshot> Residency::Snapshot(std::vector<RecordPtr>& records) const {
  records = All();
  std::erase_if(records, [](const RecordPtr& r) { return !HoldsMemory(r->slot->state()); });
  std::vector<SlotSnapshot> slots;
  slots.reserve(records.size());
  for (const RecordPtr& record : records) {
    SlotSnapshot slot;
    slot.id = record->id();
    slot.state = record->slot->state();
    slot.device = record->device;
    slot.leases = record->slot->leases();
    slot.pinned = !record->closing && settings(record->id()).pinned;
    slot.bytes = record->reservation.bytes();
    slot.allocated_bytes = record->allocated_bytes;
    slot.last_use = record->last_use();
    slot.ready_since = record->ready_since;
    slot.time_to_live = TimeToLive(record->id());
    slots.push_back(slot);
  }
  return slots;
}

ResidencyBudget Residency::Budget(std::string_view device,
                                  std::optional<std::uint64_t> machine_bytes) const {
  ResidencyBudget budget;
  budget.max_models = options_.max_models;
  if (const auto found = ledgers_.find(device); found != ledgers_.end()) {
    budget.limit_bytes = found->second->limit_bytes();
    budget.reserved_bytes = found->second->reserved_bytes();
    std::uint64_t of_models = 0;
    for (const RecordPtr& record : All()) {
      if (record->device == device) of_models += record->reservation.bytes();
    }
    budget.transient_bytes = budget.reserved_bytes - std::min(budget.reserved_bytes, of_models);
  }
  budget.machine_bytes = machine_bytes;
  budget.min_residency = options_.min_residency;
  budget.max_queue_wait = options_.max_queue_wait;
  if (!machine_bytes) return budget;
  // What was promised to loads under way may not have been taken yet.
  for (const RecordPtr& record : All()) {
    const SlotState state = record->slot->state();
    if (state != SlotState::kReserved && state != SlotState::kLoading) continue;
    *budget.machine_bytes -= std::min(*budget.machine_bytes, record->allocated_bytes);
  }
  return budget;
}

ResidencyDecision Residency::Ask(std::string_view id, std::string_view device, const Demand& demand,
                                 TimePoint now, std::optional<std::uint64_t> machine_bytes,
                                 std::vector<SlotSnapshot>* slots, ResidencyBudget* budget) const {
  std::vector<RecordPtr> records;
  *slots = Snapshot(records);
  *budget = Budget(device, machine_bytes);
  const ResidencyDemand asked{
      id, device, demand.bytes, demand.allocated_bytes, demand.models, nanoseconds(0)};
  return policy_->Decide(*slots, asked, *budget, now);
}

Residency::Step Residency::Try(Ticket ticket, TimePoint now,
                               std::optional<std::uint64_t> machine_bytes) {
  Step step;
  step.victims = Sweep(now);
  if (!step.victims.empty()) {
    step.kind = Step::Kind::kFree;
    return step;
  }
  const auto request = std::ranges::find(queue_, ticket, &Request::ticket);
  MDSA_CHECK(request != queue_.end());
  const Request& front = queue_.front();
  if (front.ticket != ticket) {
    std::vector<SlotSnapshot> slots;
    ResidencyBudget budget;
    const ResidencyDecision decision = Ask(request->record->id(), request->record->device,
                                           request->demand, now, machine_bytes, &slots, &budget);
    const bool overtakes =
        decision.kind == Kind::kGrant && now - front.since < options_.max_queue_wait;
    if (!overtakes && decision.kind != Kind::kRefuse) {
      step.error = Error(ErrorCode::kResourceExhausted,
                         fmt::format("'{}' waits for memory behind '{}'", request->record->id(),
                                     front.record->id()));
      return step;
    }
  }
  step = Decide(*request, true, now, machine_bytes, EvictionReason::kBytes);
  if (step.kind == Step::Kind::kGranted || step.kind == Step::Kind::kRefused) {
    queue_.erase(request);
    Revive(ticket);
  }
  return step;
}

Residency::Step Residency::TryAtOnce(const RecordPtr& record, const Demand& demand, TimePoint now,
                                     EvictionReason because_of_bytes,
                                     std::optional<std::uint64_t> machine_bytes) {
  return Decide({0, record, demand, now}, false, now, machine_bytes, because_of_bytes);
}

Residency::Step Residency::Decide(const Request& request, bool queued, TimePoint now,
                                  std::optional<std::uint64_t> machine_bytes,
                                  EvictionReason because_of_bytes) {
  Step step;
  const ResidencyDemand demand{
      request.record->id(),  request.record->device,
      request.demand.bytes,  request.demand.allocated_bytes,
      request.demand.models, queued ? now - request.since : nanoseconds(0)};
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::vector<RecordPtr> records;
    const std::vector<SlotSnapshot> slots = Snapshot(records);
    const ResidencyBudget budget = Budget(request.record->device, machine_bytes);
    ResidencyDecision decision = policy_->Decide(slots, demand, budget, now);
    step.error = Error(ErrorCode::kResourceExhausted, std::move(decision.reason));
    if (decision.kind == Kind::kWait) {
      step.look_again = decision.look_again;
      return step;
    }
    if (decision.kind == Kind::kRefuse) {
      ++counters_.refused;
      step.kind = Step::Kind::kRefused;
      return step;
    }
    if (decision.kind == Kind::kGrant) {
      if (!Grant(request)) continue;  // a call took the bytes meanwhile
      step.kind = Step::Kind::kGranted;
      return step;
    }
    std::vector<RecordPtr> chosen;
    for (const std::size_t index : decision.victims) {
      if (index >= records.size() || !MayGo(decision.kind, *records[index])) {
        step.kind = Step::Kind::kRefused;
        step.error = Error(
            ErrorCode::kInternal,
            fmt::format("the residency policy chose a victim for '{}' that may not go", demand.id));
        return step;
      }
      chosen.push_back(records[index]);
    }
    const bool over_count =
        std::ssize(slots) + demand.models > budget.max_models && demand.models > 0;
    const EvictionReason reason = over_count ? EvictionReason::kCount : because_of_bytes;
    if (decision.kind == Kind::kDrain) {
      for (const RecordPtr& record : chosen) {
        record->slot->MoveTo(SlotState::kDraining);
        record->drained_for = request.ticket;
      }
      step.victims = Sweep(now);
      step.kind = step.victims.empty() ? Step::Kind::kWait : Step::Kind::kFree;
      return step;
    }
    step.victims = EvictIdle(chosen, reason, request.record->id(), now);
    if (!step.victims.empty()) {
      step.kind = Step::Kind::kFree;
      return step;
    }
  }
  step.kind = Step::Kind::kWait;
  step.error =
      Error(ErrorCode::kResourceExhausted,
            fmt::format("'{}' waits: each model that could go was in use again", demand.id));
  step.look_again = now + kRaceDelay;
  return step;
}

bool Residency::MayGo(Kind kind, const ResidencyRecord& record) const {
  return record.slot->state() == SlotState::kReady && !settings(record.id()).pinned &&
         (kind == Kind::kDrain || kind == Kind::kEvict);
}

// All or nobody: one that was leased since the decision makes it a decision about something else.
std::vector<Residency::Victim> Residency::EvictIdle(const std::vector<RecordPtr>& chosen,
                                                    EvictionReason reason,
                                                    const std::string& for_model, TimePoint now) {
  std::size_t moved = 0;
  bool idle = true;
  for (; moved < chosen.size() && idle; ++moved) {
    chosen[moved]->slot->MoveTo(SlotState::kDraining);
    idle = chosen[moved]->slot->leases() == 0;
  }
  std::vector<Victim> victims;
  if (!idle) {
    for (std::size_t i = 0; i < moved; ++i) chosen[i]->slot->MoveTo(SlotState::kReady);
    return victims;
  }
  for (const RecordPtr& record : chosen) {
    MDSA_CHECK(record->slot->TryBeginUnloading());
    LeaveTable(record);
    record->idle_since = now;
    ++counters_.evictions[static_cast<std::size_t>(reason)];
    victims.push_back({record, reason, for_model});
  }
  return victims;
}

bool Residency::Grant(const Request& request) {
  if (request.demand.models == 0) return true;  // the caller resizes what it has
  auto reservation = ledger(request.record->device)->TryReserve(request.demand.bytes);
  if (!reservation) return false;
  request.record->reservation = *std::move(reservation);
  request.record->allocated_bytes = request.demand.allocated_bytes;
  request.record->slot->MoveTo(SlotState::kReserved);
  return true;
}

}  // namespace mdsa
