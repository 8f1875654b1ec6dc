// Loads, each on a thread of its own: from the wait for room to the model that answers.
#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "base/error.h"
#include "models/manager_state.h"
#include "models/slot_account.h"

namespace mdsa {
namespace {

// The library throws nothing of its own, but memory may run out, and a model may be a fake.
template <typename Call>
auto CallSource(const ModelConfig& config, Call&& call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    throw;  // the flight has the error for this ready
  } catch (const std::exception& error) {
    return Err(ErrorCode::kInternal, "loading '{}' threw: {}", config.model_name, error.what());
  } catch (...) {
    return Err(ErrorCode::kInternal, "loading '{}' threw what is no std::exception",
               config.model_name);
  }
}

}  // namespace

void ManagerState::RunFlight(const FlightPtr& flight) noexcept {
  try {
    Fly(flight);
  } catch (...) {
    FailForMemory(flight);
  }
  events_.Deliver();
  const MutexLock lock(mutex_);
  ended_.splice(ended_.end(), running_, flight->thread);
  Changed();
}

void ManagerState::FailForMemory(const FlightPtr& flight) noexcept {
  try {
    return FailLoad(flight, flight->out_of_memory);
  } catch (...) {  // not even for that; from here on nothing is allocated
  }
  const MutexLock lock(mutex_);
  if (std::exchange(flight->holds_record, false)) {
    residency_.FailLoading(flight->record, std::nullopt, clock_.Now());
  }
  if (flight->ticket != 0) residency_.Leave(std::exchange(flight->ticket, 0));
  if (!flight->result) flight->result = std::unexpected(std::move(flight->out_of_memory));
  Detach(*flight);
  Changed();
}

void ManagerState::Fly(const FlightPtr& flight) {
  if (!AwaitUnloaded(flight)) return;
  auto needs =
      CallSource(flight->config, [&] { return source_.needs(flight->config, flight->threads); });
  if (!needs) return FailLoad(flight, std::move(needs).error());
  if (AwaitRoom(flight, *needs)) LoadReserved(flight);
}

bool ManagerState::AwaitUnloaded(const FlightPtr& flight) {
  ResidencyRecord& record = *flight->record;
  const MutexLock lock(mutex_);
  const auto may_go_on = [&]() MDSA_REQUIRES(mutex_) {
    const SlotState state = record.slot->state();
    return flight->result || !HoldsMemory(state) || state == SlotState::kReady;
  };
  if (!may_go_on() && record.slot->state() == SlotState::kDraining) {
    flight->blocked = Error(ErrorCode::kResourceExhausted,
                            fmt::format("'{}' makes room for another model", record.id()));
    Changed();
  }
  changed_.Wait(mutex_, {}, may_go_on);
  flight->blocked.reset();
  if (flight->result) return false;
  if (record.slot->state() == SlotState::kReady) {  // revived
    for (int i = 0; i < flight->leases_wanted; ++i) MDSA_CHECK(record.slot->TryLease());
    Succeed(flight);
    return false;
  }
  record.config = flight->config;
  return true;
}

bool ManagerState::AwaitRoom(const FlightPtr& flight, const ModelNeeds& needs) {
  const RecordPtr& record = flight->record;
  const std::uint64_t at_rest = needs.resident_bytes + needs.call_bytes;
  const Residency::Demand demand{std::max(needs.peak_bytes, at_rest), needs.allocated_bytes, 1};
  std::optional<WatchedWait> wait;
  {
    const MutexLock lock(mutex_);
    if (flight->result) return false;
    record->device = needs.device;
    record->estimated_bytes = needs.resident_bytes;
    wait = Watch();
    flight->ticket = residency_.Join(record, demand, wait->since);
  }
  ++waiting_for_leases_;
  struct Done {
    std::atomic<int>& waiting;
    ~Done() { --waiting; }
  } const done{waiting_for_leases_};
  while (true) {
    const auto machine = source_.machine_bytes ? source_.machine_bytes() : std::nullopt;
    Victims victims;
    {
      const MutexLock lock(mutex_);
      if (flight->result) return false;
      static_cast<void>(hits_.Collect());
      Residency::Step step = residency_.Try(flight->ticket, clock_.Now(), machine);
      AnnounceVictims(step.victims);
      switch (step.kind) {
        case Residency::Step::Kind::kGranted:
          residency_.counters().wait_seconds.Add(Seconds(clock_.Now() - wait->since));
          flight->ticket = 0;
          residency_.StartLoading(*record);
          flight->holds_record = true;
          flight->blocked.reset();
          Changed();
          return true;
        case Residency::Step::Kind::kRefused:
          flight->ticket = 0;
          FailFlight(flight, step.error);
          return false;
        case Residency::Step::Kind::kFree:
          victims = std::move(step.victims);
          break;
        case Residency::Step::Kind::kWait: {
          // Memory that is being freed already is in nobody's way.
          const bool was_blocked = flight->blocked.has_value();
          flight->blocked.reset();
          if (!residency_.IsFreeing()) flight->blocked = std::move(step.error);
          if (flight->blocked.has_value() != was_blocked) Changed();
          const std::uint64_t seen = version_;
          const auto until = step.look_again.value_or(Clock::kNever);
          clock_.WaitUntil(mutex_, changed_, {}, until, [&]() MDSA_REQUIRES(mutex_) {
            return version_ != seen || flight->result.has_value();
          });
          break;
        }
      }
    }
    Free(std::move(victims));
    events_.Deliver();
  }
}

void ManagerState::LoadReserved(const FlightPtr& flight) {
  const RecordPtr& record = flight->record;
  std::shared_ptr<SlotAccount> account;
  {
    const MutexLock lock(mutex_);
    account = std::make_shared<SlotAccount>(weak_from_this(), record,
                                            residency_.ledger(record->device), charged_calls_);
  }
  LoadOptions options;
  options.threads = flight->threads;
  options.stop = flight->stop.get_token();
  if (flight->progress.connected() || events_.has_sinks()) {
    options.on_progress = [&](const LoadProgress& progress) {
      if (events_.has_sinks()) {
        {
          const MutexLock lock(mutex_);
          ModelEvent event = EventOf(ModelEvent::Kind::kLoading, *record);
          event.phase = progress.phase;
          event.bytes_done = progress.bytes_done;
          event.bytes_total = progress.bytes_total;
          events_.Post(std::move(event));
        }
        events_.Deliver();
      }
      flight->progress(progress);
    };
  }
  auto loaded =
      CallSource(flight->config, [&] { return source_.load(flight->config, options, account); });
  // What parsing and converting took goes back before the reservation shrinks to the model.
  if (source_.trim) source_.trim();
  if (!loaded) return FailLoad(flight, std::move(loaded).error());
  if (*loaded == nullptr) {
    return FailLoad(flight, Error(ErrorCode::kInternal, "the loader returned no model"));
  }
  auto facts = CallSource(flight->config,
                          [&]() -> Result<ModelFacts> { return source_.describe(**loaded); });
  if (!facts) {
    loaded->reset();
    return FailLoad(flight, std::move(facts).error());
  }
  account->SetKept(facts->call_bytes);
  FinishLoad(flight, *std::move(loaded), *std::move(facts));
}

void ManagerState::FinishLoad(const FlightPtr& flight, std::shared_ptr<Model> model,
                              ModelFacts facts) {
  const RecordPtr& record = flight->record;
  if (auto settled = SettleLoad(flight, facts); !settled) {
    facts = {};
    model.reset();
    return FailLoad(flight, std::move(settled).error());
  }
  auto body = std::make_shared<const HandleBody>(
      HandleBody{record->slot, weak_from_this(), std::move(facts)});
  Residency::Victim unwanted;
  {
    const MutexLock lock(mutex_);
    const auto now = clock_.Now();
    record->last_load_seconds = Seconds(now - flight->started);
    if (!flight->result) {
      record->body = std::move(body);
      record->slot->NoteUse(now.time_since_epoch().count(), 0);
      ModelEvent event = EventOf(ModelEvent::Kind::kReady, *record);
      event.bytes = record->model_bytes;
      event.estimated_bytes = record->estimated_bytes;
      event.seconds = record->last_load_seconds;
      residency_.PublishReady(*record, {std::move(model), nullptr, nullptr}, flight->leases_wanted,
                              now);
      // From here on the leases of those who wait are taken: nothing may fail until they have them.
      flight->holds_record = false;
      Succeed(flight);
      ResidencyMetrics& counters = residency_.counters();
      ++counters.loads;
      counters.load_seconds.Add(record->last_load_seconds);
      events_.Post(std::move(event));
      return;
    }
    residency_.DropLoaded(*record, now);  // abandoned: nobody wants it
    flight->holds_record = false;
    unwanted.record = record;
  }
  model.reset();
  body.reset();
  Free({unwanted});
}

Status ManagerState::SettleLoad(const FlightPtr& flight, const ModelFacts& facts) {
  const RecordPtr& record = flight->record;
  while (true) {
    Victims victims;
    {
      const MutexLock lock(mutex_);
      const std::uint64_t missing =
          residency_.Settle(*record, {facts.memory_bytes, facts.mapped_bytes, facts.call_bytes});
      if (missing == 0) {
        Changed();  // the peak was given back
        return {};
      }
      static_cast<void>(hits_.Collect());
      Residency::Step step = residency_.TryAtOnce(record, {missing, 0, 0}, clock_.Now(),
                                                  EvictionReason::kUnderestimate);
      AnnounceVictims(step.victims);
      if (step.kind == Residency::Step::Kind::kGranted) continue;
      if (step.victims.empty()) {
        return Err(ErrorCode::kResourceExhausted,
                   "'{}' takes {} bytes more than was reserved for it, and there is no room: {}",
                   record->id(), missing, step.error.message());
      }
      victims = std::move(step.victims);
    }
    Free(std::move(victims));
  }
}

void ManagerState::FailLoad(const FlightPtr& flight, Error error) {
  const RecordPtr& record = flight->record;
  const MutexLock lock(mutex_);
  const auto now = clock_.Now();
  const bool counts = !flight->result && error.code() != ErrorCode::kCancelled;
  if (flight->holds_record) {
    residency_.FailLoading(record, counts ? std::optional<Error>(error) : std::nullopt, now);
    flight->holds_record = false;
  } else if (counts && !HoldsMemory(record->slot->state())) {
    residency_.FailUnloaded(record, error, now);
  }
  if (counts) {
    ++residency_.counters().load_failures;
    ModelEvent event = EventOf(ModelEvent::Kind::kFailed, *record);
    event.error = error;
    event.retry_after_seconds = record->failure ? Seconds(record->failure->delay) : 0.0;
    events_.Post(std::move(event));
  }
  FailFlight(flight, error);
  ForgetIfUnused(record);
}

void ManagerState::FailFlight(const FlightPtr& flight, const Error& error) {
  if (!flight->result) {
    Abandon(*flight, error);
    Detach(*flight);
  }
  Changed();
}

void ManagerState::Succeed(const FlightPtr& flight) {
  flight->result = flight->record->body;
  Detach(*flight);
  Changed();
}

void ManagerState::Detach(const LoadFlight& flight) {
  const auto found = flights_.find(flight.record->id());
  if (found == flights_.end() || found->second.get() != &flight) return;
  flights_.erase(found);
  ForgetIfUnused(flight.record);
}

void ManagerState::ForgetIfUnused(const RecordPtr& record) {
  const bool is_known = residency_.Find(record->id()) == record && !flights_.contains(record->id());
  if (is_known && record->loads == 0 && record->slot->state() == SlotState::kUnloaded) {
    residency_.Close(record);
  }
}

}  // namespace mdsa
