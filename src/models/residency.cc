#include "models/residency.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace mdsa {
namespace {

using std::chrono::nanoseconds;
using Kind = ResidencyDecision::Kind;

// How often a decision is taken again because a lease came in between, before it has to wait.
constexpr int kAttempts = 8;
constexpr auto kRaceDelay = std::chrono::milliseconds(1);

// Draining because an application asked for it: nothing revives it.
constexpr Residency::Ticket kEvictedByHand = ~Residency::Ticket{0};

ResidencyTime LastUse(const ResidencyRecord& record) {
  return ResidencyTime(nanoseconds(record.slot->last_use()));
}

}  // namespace

Residency::Residency(const ResidencyOptions& options, std::optional<std::uint64_t> host_limit_bytes,
                     std::shared_ptr<const ResidencyPolicy> policy)
    : options_(options), policy_(std::move(policy)) {
  ledgers_.emplace("cpu", MemoryLedger::Create("cpu", host_limit_bytes));
  for (const auto& [device, bytes] : options.max_device_memory) {
    ledgers_.emplace(device, MemoryLedger::Create(device, bytes));
  }
}

// --- records ---

RecordPtr Residency::Find(std::string_view id) const {
  const auto found = table_.find(id);
  return found == table_.end() ? nullptr : found->second;
}

RecordPtr Residency::Insert(std::string id) {
  auto record = std::make_shared<ResidencyRecord>(id);
  MDSA_CHECK(table_.emplace(std::move(id), record).second);
  return record;
}

void Residency::Close(const RecordPtr& record) {
  record->closing = true;
  table_.erase(table_.find(record->id()));
  const SlotState state = record->slot->state();
  if (!HoldsMemory(state)) return;
  closing_.push_back(record);
  if (state == SlotState::kReady) record->slot->MoveTo(SlotState::kDraining);
}

void Residency::Forget(const RecordPtr& record) {
  if (record->closing) {
    std::erase(closing_, record);
  } else {
    table_.erase(table_.find(record->id()));
  }
}

std::vector<RecordPtr> Residency::All() const {
  std::vector<RecordPtr> all = closing_;
  for (const auto& [id, record] : table_) all.push_back(record);
  return all;
}

std::int64_t Residency::resident() const {
  return std::ranges::count_if(
      All(), [](const RecordPtr& record) { return HoldsMemory(record->slot->state()); });
}

// --- settings ---

const ModelSettings& Residency::settings(std::string_view id) const {
  static const ModelSettings kDefault;
  const auto found = settings_.find(id);
  return found == settings_.end() ? kDefault : found->second;
}

void Residency::SetSettings(const std::string& id, const ModelSettings& settings) {
  if (settings == ModelSettings()) {
    settings_.erase(id);
  } else {
    settings_.insert_or_assign(id, settings);
  }
}

std::optional<nanoseconds> Residency::TimeToLive(std::string_view id) const {
  const auto own = settings(id).time_to_live;
  const auto chosen = own ? own : options_.time_to_live;
  return chosen == ModelSettings::kForever ? std::nullopt : chosen;
}

// --- room ---

Residency::Ticket Residency::Join(const RecordPtr& record, const Demand& demand, TimePoint now) {
  queue_.push_back({++last_ticket_, record, demand, now});
  return last_ticket_;
}

void Residency::Leave(Ticket ticket) {
  std::erase_if(queue_, [&](const Request& request) { return request.ticket == ticket; });
  Revive(ticket);
}

void Residency::Revive(Ticket ticket) {
  for (const auto& [id, record] : table_) {
    if (record->drained_for != ticket || record->slot->state() != SlotState::kDraining) continue;
    record->slot->MoveTo(SlotState::kReady);
    record->drained_for = 0;
    ++counters_.revived;
  }
}

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
    slot.last_use = LastUse(*record);
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

// --- life ---

void Residency::CancelReserved(const RecordPtr& record) {
  record->reservation = {};
  record->allocated_bytes = 0;
  record->slot->MoveTo(SlotState::kUnloaded);
  if (record->closing) Forget(record);
}

void Residency::SetFailure(ResidencyRecord& record, Error error, TimePoint now) const {
  const nanoseconds delay = record.failure
                                ? std::min(2 * record.failure->delay, options_.max_retry_delay)
                                : options_.retry_delay;
  record.failure = KeptFailure{std::move(error), Later(now, delay), delay};
}

void Residency::FailLoading(const RecordPtr& record, std::optional<Error> failure, TimePoint now) {
  record->reservation = {};
  record->allocated_bytes = 0;
  if (failure) {
    record->slot->MoveTo(SlotState::kFailed);
    SetFailure(*record, *std::move(failure), now);
  } else {
    record->slot->MoveTo(SlotState::kUnloading);
    record->slot->MoveTo(SlotState::kUnloaded);
  }
  if (record->closing) Forget(record);
}

void Residency::FailUnloaded(const RecordPtr& record, Error error, TimePoint now) {
  if (record->slot->state() == SlotState::kUnloaded) record->slot->MoveTo(SlotState::kFailed);
  SetFailure(*record, std::move(error), now);
}

std::uint64_t Residency::Settle(ResidencyRecord& record, const Measured& measured) {
  const std::uint64_t wanted = measured.model_bytes + measured.call_bytes;
  const std::uint64_t reserved = record.reservation.bytes();
  if (!record.reservation.TryResize(wanted)) return wanted - reserved;
  record.model_bytes = measured.model_bytes;
  record.call_bytes = measured.call_bytes;
  record.allocated_bytes = wanted - std::min(wanted, measured.mapped_bytes);
  return 0;
}

void Residency::PublishReady(ResidencyRecord& record, ModelSlot::Object object, std::int64_t leases,
                             TimePoint now) {
  record.failure.reset();
  record.sequence = ++last_sequence_;
  record.ready_since = now;
  record.loaded_at = std::chrono::system_clock::now();
  ++record.loads;
  record.slot->ResetUses();
  record.slot->SetObject(std::move(object));
  record.slot->MoveTo(SlotState::kReady, leases);
}

void Residency::DropLoaded(ResidencyRecord& record, TimePoint now) {
  record.slot->MoveTo(SlotState::kUnloading);
  record.idle_since = now;
}

std::vector<Residency::Victim> Residency::Sweep(TimePoint now) {
  std::vector<Victim> victims;
  for (const RecordPtr& record : All()) {
    if (record->slot->state() != SlotState::kDraining || !record->slot->TryBeginUnloading())
      continue;
    record->idle_since = now;
    Victim victim{record, std::nullopt, {}};
    const auto request = std::ranges::find(queue_, record->drained_for, &Request::ticket);
    if (request != queue_.end()) {
      const bool over_count = resident() + request->demand.models > options_.max_models;
      victim.reason = over_count ? EvictionReason::kCount : EvictionReason::kBytes;
      victim.for_model = request->record->id();
      ++counters_.evictions[static_cast<std::size_t>(*victim.reason)];
    }
    record->drained_for = 0;
    victims.push_back(std::move(victim));
  }
  return victims;
}

std::vector<Residency::Victim> Residency::Expire(TimePoint now, TimePoint* next) {
  *next = Clock::kNever;
  std::vector<Victim> victims;
  for (const auto& [id, record] : table_) {
    const auto time_to_live = TimeToLive(id);
    if (!time_to_live || record->slot->state() != SlotState::kReady || settings(id).pinned)
      continue;
    TimePoint due = Later(LastUse(*record), *time_to_live);
    if (due <= now) {
      for (Victim& victim : EvictIdle({record}, EvictionReason::kTimeToLive, {}, now)) {
        victims.push_back(std::move(victim));
      }
      if (record->slot->state() != SlotState::kReady) continue;
      due = Later(now, std::max<nanoseconds>(*time_to_live, kRaceDelay));  // in use now
    }
    *next = std::min(*next, due);
  }
  return victims;
}

std::vector<Residency::Victim> Residency::Evict(const RecordPtr& record, TimePoint now) {
  if (record->slot->state() == SlotState::kReady) record->slot->MoveTo(SlotState::kDraining);
  record->drained_for = kEvictedByHand;
  return Sweep(now);
}

void Residency::Freed(const RecordPtr& record) {
  record->reservation = {};
  record->allocated_bytes = record->model_bytes = record->call_bytes = 0;
  record->slot->MoveTo(SlotState::kUnloaded);
  record->body.reset();  // and with it the tokenizer
  if (record->closing || !record->reloadable) Forget(record);
}

// --- numbers ---

std::shared_ptr<MemoryLedger> Residency::ledger(std::string_view device) {
  const auto found = ledgers_.find(device);
  if (found != ledgers_.end()) return found->second;
  return ledgers_
      .emplace(std::string(device), MemoryLedger::Create(std::string(device), std::nullopt))
      .first->second;
}

bool Residency::AnythingEnds() const {
  return std::ranges::any_of(All(), [](const RecordPtr& record) {
    const SlotState state = record->slot->state();
    return HoldsMemory(state) && state != SlotState::kReady;
  });
}

std::optional<std::string> Residency::Validate(std::uint64_t call_bytes) const {
  std::map<std::string, std::uint64_t, std::less<>> sums;
  sums["cpu"] = call_bytes;
  for (const RecordPtr& record : All()) {
    const SlotState state = record->slot->state();
    const std::uint64_t bytes = record->reservation.bytes();
    if (!HoldsMemory(state) && (bytes > 0 || record->slot->leases() > 0)) {
      return fmt::format("'{}' is {} with {} bytes and {} leases", record->id(),
                         SlotStateName(state), bytes, record->slot->leases());
    }
    if (record->slot->leases() > 0 && state != SlotState::kReady && state != SlotState::kDraining) {
      return fmt::format("'{}' is {} and in use", record->id(), SlotStateName(state));
    }
    sums[record->device] += bytes;
  }
  for (const auto& [device, ledger] : ledgers_) {
    if (sums[device] != ledger->reserved_bytes()) {
      return fmt::format("the ledger of {} holds {} bytes, the records {}", device,
                         ledger->reserved_bytes(), sums[device]);
    }
    if (ledger->limit_bytes() && ledger->reserved_bytes() > *ledger->limit_bytes()) {
      return fmt::format("the ledger of {} exceeds its limit", device);
    }
  }
  if (resident() > options_.max_models) return fmt::format("{} models are resident", resident());
  return std::nullopt;
}

}  // namespace mdsa
