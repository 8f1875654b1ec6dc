#include "models/residency.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace mdsa {
namespace {

using std::chrono::nanoseconds;
using Kind = ResidencyDecision::Kind;

// Draining because an application asked for it: nothing revives it.
constexpr Residency::Ticket kEvictedByHand = ~Residency::Ticket{0};

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

// An object of the application cannot come back: its id is free from here on.
void Residency::LeaveTable(const RecordPtr& record) {
  if (record->closing || record->reloadable) return;
  record->closing = true;
  table_.erase(table_.find(record->id()));
  closing_.push_back(record);
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
    LeaveTable(record);
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
  for (const RecordPtr& record : All()) {
    const std::string& id = record->id();
    const auto time_to_live = TimeToLive(id);
    if (!time_to_live || record->slot->state() != SlotState::kReady || settings(id).pinned)
      continue;
    TimePoint due = Later(record->last_use(), *time_to_live);
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
  if (record->closing) Forget(record);
}

// --- numbers ---

std::shared_ptr<MemoryLedger> Residency::ledger(std::string_view device) {
  const auto found = ledgers_.find(device);
  if (found != ledgers_.end()) return found->second;
  return ledgers_
      .emplace(std::string(device), MemoryLedger::Create(std::string(device), std::nullopt))
      .first->second;
}

bool Residency::IsFreeing() const {
  return std::ranges::any_of(All(), [](const RecordPtr& record) {
    return record->slot->state() == SlotState::kUnloading;
  });
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
