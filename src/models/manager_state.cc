// Requests: what is ready, who waits, and who leaves.
#include "models/manager_state.h"

#include <algorithm>
#include <functional>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "models/config_conflict.h"
#include "models/running_calls.h"

namespace mdsa {
namespace {

Error UnloadedError(std::string_view model_id) {
  return Error(ErrorCode::kFailedPrecondition,
               fmt::format("model '{}' was unloaded; ask the manager for it again", model_id));
}

Error ClosedError(std::string_view model_id) {
  return Error(ErrorCode::kFailedPrecondition,
               fmt::format("the manager of model '{}' is gone", model_id));
}

Error TakenError(std::string_view model_id) {
  return Error(
      ErrorCode::kFailedPrecondition,
      fmt::format("the id '{}' is taken by an object that the application registered", model_id));
}

Error CancelledError(std::string_view model_id) {
  return Error(ErrorCode::kCancelled, fmt::format("loading of '{}' was cancelled", model_id));
}

}  // namespace

ManagerState::ManagerState(Setup setup)
    : source_(std::move(setup.source)),
      clock_(*setup.clock),
      hits_(clock_),
      residency_(setup.options, setup.host_limit_bytes,
                 setup.policy != nullptr ? std::move(setup.policy)
                                         : std::make_shared<const LruPolicy>()) {}

Result<std::shared_ptr<ManagerState>> ManagerState::Create(Setup setup) {
  MDSA_TRY(setup.options.Validate());
  std::shared_ptr<ManagerState> state(new ManagerState(std::move(setup)));
  const MutexLock lock(state->mutex_);
  if (state->residency_.options().time_to_live) MDSA_TRY(state->StartHousekeeper());
  return state;
}

// The last reference may be that of a flight whose waiters are gone: a thread cannot join itself.
ManagerState::~ManagerState() {
  const MutexLock lock(mutex_);
  for (std::jthread& thread : ended_) {
    if (thread.get_id() == std::this_thread::get_id()) thread.detach();
  }
}

Result<ModelHandle> ManagerState::GetOrLoad(const std::string& model_id, const ModelConfig* config,
                                            const RequestOptions& options) {
  if (config != nullptr) {
    if (HandleBodyPtr hit = hits_.Find(model_id, *config)) return ModelHandle(std::move(hit));
  }
  MDSA_ASSIGN(HandleBodyPtr body, Obtain({model_id, config, nullptr, false}, options));
  return ModelHandle(std::move(body));
}

Result<ModelLease> ManagerState::Lease(const std::string& model_id, const ModelConfig* config,
                                       const RequestOptions& options) {
  if (config != nullptr) {
    HandleBodyPtr hit = hits_.Find(model_id, *config);
    if (hit != nullptr && hit->slot->TryLease()) return MakeLease(std::move(hit));
  }
  MDSA_ASSIGN(HandleBodyPtr body, Obtain({model_id, config, nullptr, true}, options));
  return MakeLease(std::move(body));
}

Result<ModelLease> ManagerState::LeaseAgain(std::shared_ptr<ManagerState> manager,
                                            const HandleBodyPtr& body,
                                            const RequestOptions& options) {
  if (body->slot->TryLease()) {
    manager->hits_.NoteUse(*body->slot);
    return ModelLease(std::move(manager), body);
  }
  MDSA_ASSIGN(HandleBodyPtr fresh,
              manager->Obtain({body->slot->id(), nullptr, body->slot.get(), true}, options));
  return ModelLease(std::move(manager), std::move(fresh));
}

std::optional<ModelLease> ManagerState::TryLeaseAgain(std::shared_ptr<ManagerState> manager,
                                                      const HandleBodyPtr& body) {
  if (!body->slot->TryLease()) return std::nullopt;
  static_cast<void>(manager->hits_.Use(*body->slot));
  return ModelLease(std::move(manager), body);
}

Result<HandleBodyPtr> ManagerState::Obtain(const Wanted& wanted, const RequestOptions& options) {
  if (wanted.model_id.empty()) {
    return Err(ErrorCode::kInvalidArgument, "model_id must not be empty");
  }
  if (wanted.config != nullptr) MDSA_TRY(wanted.config->Validate());
  Afterwards afterwards(*this);
  FlightPtr flight;
  bool starts = false;
  {
    const MutexLock lock(mutex_);
    if (closed_) return std::unexpected(ClosedError(wanted.model_id));
    const RecordPtr record = residency_.Find(wanted.model_id);
    if (wanted.slot != nullptr && (record == nullptr || record->slot.get() != wanted.slot)) {
      return std::unexpected(UnloadedError(wanted.model_id));
    }
    MDSA_ASSIGN(const ModelConfig* config, ConfigFor(wanted, record.get()));
    if (record != nullptr) {
      MDSA_ASSIGN(HandleBodyPtr ready, FindReady(wanted, *config, record));
      if (ready != nullptr) return ready;
    }
    ++residency_.counters().misses;
    const auto flights_before = flights_.size();
    MDSA_ASSIGN(flight, JoinFlight(wanted, *config, options, record));
    starts = flights_.size() > flights_before;
    afterwards.ended.splice(afterwards.ended.end(), ended_);
    ++flight->waiting;
    flight->leases_wanted += wanted.lease ? 1 : 0;
  }
  // The options end with this call, whether it returns or throws.
  struct Disconnect {
    ProgressRelay* progress;
    ~Disconnect() {
      if (progress != nullptr) progress->Disconnect();
    }
  } const disconnect{starts ? &flight->progress : nullptr};
  return Await(flight, wanted, options);
}

Result<const ModelConfig*> ManagerState::ConfigFor(const Wanted& wanted,
                                                   const ResidencyRecord* record) const {
  if (wanted.config != nullptr) return wanted.config;
  const auto flight = flights_.find(wanted.model_id);
  if (flight != flights_.end()) return &flight->second->config;
  if (record != nullptr && record->config) return &*record->config;
  const auto declared = declared_.find(wanted.model_id);
  if (declared != declared_.end()) return &declared->second.config;
  static const ModelConfig kNone;
  if (record != nullptr) return &kNone;  // an object that came without one
  return Err(ErrorCode::kNotFound,
             "model '{}' is not loaded, and no configuration was declared for it", wanted.model_id);
}

Result<HandleBodyPtr> ManagerState::FindReady(const Wanted& wanted, const ModelConfig& config,
                                              const RecordPtr& record) {
  if (record->slot->state() != SlotState::kReady) return nullptr;
  if (record->is_foreign() && !(wanted.lease && wanted.config == nullptr)) {
    return std::unexpected(TakenError(wanted.model_id));
  }
  if (wanted.config != nullptr && record->config) {
    MDSA_TRY(CheckSameModel(wanted.model_id, *record->config, config));
  }
  if (wanted.config != nullptr && !record->config) record->config = config;
  if (wanted.lease) MDSA_CHECK(record->slot->TryLease());  // ready until this lock is given back
  ++residency_.counters().hits;
  return NoteRequest(record->body, config);
}

HandleBodyPtr ManagerState::NoteRequest(const HandleBodyPtr& body, const ModelConfig& config) {
  ModelSlot& slot = *body->slot;
  if (slot.state() == SlotState::kReady && slot.object().model != nullptr) {
    return hits_.Add(body, config);
  }
  hits_.NoteUse(slot);
  return body;
}

Status ManagerState::CheckKeptFailure(const ResidencyRecord& record, const ModelConfig& config) {
  if (!record.failure || !record.config || !CheckSameModel(record.id(), *record.config, config)) {
    return {};
  }
  const auto now = clock_.Now();
  if (now >= record.failure->retry_at) return {};
  ++residency_.counters().retries_refused;
  Error error = record.failure->error;
  error.AddContext(fmt::format("the load of '{}' failed and is not repeated for another {:.1f} s",
                               record.id(), Seconds(record.failure->retry_at - now)));
  return std::unexpected(std::move(error));
}

Result<ManagerState::FlightPtr> ManagerState::JoinFlight(const Wanted& wanted,
                                                         const ModelConfig& config,
                                                         const RequestOptions& options,
                                                         RecordPtr record) {
  if (const auto found = flights_.find(wanted.model_id); found != flights_.end()) {
    MDSA_TRY(CheckSameModel(wanted.model_id, found->second->config, config));
    return found->second;
  }
  if (source_.load == nullptr) {
    return Err(ErrorCode::kFailedPrecondition,
               "'{}' is not registered any more, and this registry has no loader", wanted.model_id);
  }
  if (record != nullptr && !record->reloadable) return std::unexpected(TakenError(wanted.model_id));
  if (record != nullptr) {
    MDSA_TRY(CheckKeptFailure(*record, config));
    // An id that is not in memory may come back as another model. Handles of the old one are void.
    const bool other = record->config && !CheckSameModel(wanted.model_id, *record->config, config);
    if (other && !HoldsMemory(record->slot->state())) {
      residency_.Close(record);
      record = nullptr;
    } else if (other) {
      MDSA_TRY(CheckSameModel(wanted.model_id, *record->config, config));
    }
  }
  const bool is_new = record == nullptr;
  if (is_new) record = residency_.Insert(wanted.model_id);
  auto flight = StartFlight(record, config, options);
  if (!flight && is_new) residency_.Close(record);
  return flight;
}

Result<ManagerState::FlightPtr> ManagerState::StartFlight(const RecordPtr& record,
                                                          const ModelConfig& config,
                                                          const LoadOptions& options) {
  auto flight = std::make_shared<LoadFlight>(record, config, options, clock_.Now());
  LoadFlight::Threads thread(1);
  flight->thread = thread.begin();
  try {
    thread.front() = std::jthread([self = shared_from_this(), flight] { self->RunFlight(flight); });
  } catch (const std::system_error& error) {
    return Err(ErrorCode::kResourceExhausted, "no thread to load '{}' on: {}", record->id(),
               error.what());
  }
  // Before the load can end, for its end waits for the lock that is held here.
  running_.splice(running_.end(), thread);
  flights_.emplace(record->id(), flight);
  return flight;
}

Result<HandleBodyPtr> ManagerState::Await(const FlightPtr& flight, const Wanted& wanted,
                                          const RequestOptions& options) {
  std::optional<WatchedWait> wait;
  bool left_alone = false;
  Error why = CancelledError(wanted.model_id);
  while (true) {
    events_.Deliver();
    const MutexLock lock(mutex_);
    if (!wait) wait = Watch();
    const auto deadline = options.timeout ? Later(wait->since, *options.timeout) : Clock::kNever;
    const auto memory_deadline =
        std::min(deadline, Later(wait->since, residency_.options().wait_timeout));
    const bool was_blocked = flight->blocked.has_value();
    const auto gives_up = [&]() MDSA_REQUIRES(mutex_) {
      return flight->blocked && !options.wait_for_memory;
    };
    const auto until = std::min(was_blocked ? memory_deadline : deadline, wait->report_at());
    clock_.WaitUntil(mutex_, changed_, options.stop, until, [&]() MDSA_REQUIRES(mutex_) {
      return flight->result || gives_up() || flight->blocked.has_value() != was_blocked;
    });
    if (flight->result) {
      --flight->waiting;
      if (!*flight->result) return *flight->result;
      return NoteRequest(**flight->result, flight->config);
    }
    const auto limit = flight->blocked ? memory_deadline : deadline;
    if (options.stop.stop_requested() || gives_up() || clock_.Now() >= limit) {
      why = WhyLeft(*flight, options, limit);
      LeaveFlight(*flight, wanted, why);
      left_alone = flight->waiting == 0;
      break;
    }
    ReportIfOld(*wait, *flight->record,
                flight->blocked ? flight->blocked->message() : "it is loading");
  }
  if (left_alone) flight->stop.request_stop();
  return std::unexpected(std::move(why));
}

Error ManagerState::WhyLeft(const LoadFlight& flight, const RequestOptions& options,
                            Clock::TimePoint deadline) {
  const std::string& id = flight.record->id();
  if (options.stop.stop_requested()) return CancelledError(id);
  if (clock_.Now() >= deadline) {
    ++residency_.counters().timeouts;
    return Error(ErrorCode::kDeadlineExceeded,
                 flight.blocked ? "timed out waiting for memory: " + flight.blocked->message()
                                : fmt::format("timed out waiting for the load of '{}'", id));
  }
  return *flight.blocked;
}

void ManagerState::LeaveFlight(LoadFlight& flight, const Wanted& wanted, const Error& why) {
  flight.leases_wanted -= wanted.lease ? 1 : 0;
  if (--flight.waiting > 0) return;
  ++residency_.counters().loads_cancelled;
  Abandon(flight, why);
  // A later caller starts afresh instead of joining a load that is being stopped.
  Detach(flight);
}

void ManagerState::Abandon(LoadFlight& flight, Error error) {
  // At once, so that nobody waits behind one that has given up.
  if (flight.ticket != 0) residency_.Leave(std::exchange(flight.ticket, 0));
  flight.result = std::unexpected(std::move(error));
  Changed();
}

ManagerState::FlightPtr ManagerState::CloseRecord(const RecordPtr& record, Error why) {
  FlightPtr flight;
  if (const auto found = flights_.find(record->id()); found != flights_.end()) {
    flight = found->second;
    flights_.erase(found);
    Abandon(*flight, std::move(why));
  }
  hits_.Remove(record->id());
  residency_.Close(record);
  return flight;
}

Result<UnloadResult> ManagerState::Unload(std::string_view model_id, const UnloadOptions& options) {
  const Afterwards afterwards(*this);
  RecordPtr record;
  FlightPtr flight;
  Victims victims;
  std::stop_source cancel;
  UnloadResult result;
  {
    const MutexLock lock(mutex_);
    record = residency_.Find(model_id);
    if (record == nullptr) return result;
    if (residency_.settings(model_id).pinned && !options.force) {
      return Err(ErrorCode::kFailedPrecondition,
                 "model '{}' is pinned; unpin it first, or unload it by force", model_id);
    }
    result.known = HoldsMemory(record->slot->state()) || flights_.contains(model_id);
    result.freed_bytes = record->reservation.bytes();
    cancel = record->slot->cancel_source();
    flight = CloseRecord(record, UnloadedError(model_id));
    ++residency_.counters().unloads;
    victims = residency_.Sweep(clock_.Now());
    AnnounceVictims(victims);
    Changed();
  }
  if (flight) flight->stop.request_stop();
  if (options.force) cancel.request_stop();
  Free(std::move(victims));
  if (flight || RunsOnThisThread(*record->slot)) {  // ends by itself
    result.freed_bytes = 0;
    return result;
  }
  MDSA_TRY(AwaitFree(record, options));
  return result;
}

Status ManagerState::AwaitFree(const RecordPtr& record, const UnloadOptions& options) {
  const auto is_free = [&] { return !HoldsMemory(record->slot->state()); };
  std::optional<WatchedWait> wait;
  while (true) {
    events_.Deliver();
    const MutexLock lock(mutex_);
    if (!wait) wait = Watch();
    const auto deadline =
        Later(wait->since, options.timeout.value_or(residency_.options().wait_timeout));
    const auto until = std::min(deadline, wait->report_at());
    if (clock_.WaitUntil(mutex_, changed_, options.stop, until, is_free)) return {};
    ReportIfOld(*wait, *record, "its calls in progress are to end");
    const bool stopped = options.stop.stop_requested();
    if (!stopped && clock_.Now() < deadline) continue;
    residency_.counters().timeouts += stopped ? 0 : 1;
    return Err(stopped ? ErrorCode::kCancelled : ErrorCode::kDeadlineExceeded,
               "model '{}' takes no new calls, but {} still run; its memory is free when they end",
               record->id(), record->slot->leases());
  }
}

void ManagerState::ClearAll() { DropAll(UnloadedError); }

void ManagerState::DropAll(Error (*reason)(std::string_view model_id)) {
  const Afterwards afterwards(*this);
  std::vector<FlightPtr> flights;
  Victims victims;
  {
    const MutexLock lock(mutex_);
    for (const RecordPtr& record : residency_.All()) {
      if (record->closing) continue;
      if (FlightPtr flight = CloseRecord(record, reason(record->id()))) flights.push_back(flight);
    }
    victims = residency_.Sweep(clock_.Now());
    AnnounceVictims(victims);
    Changed();
  }
  for (const FlightPtr& flight : flights) flight->stop.request_stop();
  Free(std::move(victims));
}

void ManagerState::Close() {
  std::optional<std::jthread> housekeeper;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    housekeeper.swap(housekeeper_);
  }
  if (housekeeper) {
    housekeeper->request_stop();
    if (housekeeper->get_id() == std::this_thread::get_id()) housekeeper->detach();
  }
  DropAll(ClosedError);
  LoadFlight::Threads ended;
  const MutexLock lock(mutex_);
  const auto only_this_thread_runs = [&]() MDSA_REQUIRES(mutex_) {
    return std::ranges::all_of(running_, [](const std::jthread& thread) {
      return thread.get_id() == std::this_thread::get_id();
    });
  };
  changed_.Wait(mutex_, {}, only_this_thread_runs);
  ended.splice(ended.end(), ended_);
}

int ManagerState::CallersWaitingFor(std::string_view model_id) const {
  const MutexLock lock(mutex_);
  const auto flight = flights_.find(model_id);
  return flight == flights_.end() ? 0 : flight->second->waiting;
}

SlotState ManagerState::StateOf(std::string_view model_id) const {
  const MutexLock lock(mutex_);
  const RecordPtr record = residency_.Find(model_id);
  return record == nullptr ? SlotState::kUnloaded : record->slot->state();
}

std::optional<std::string> ManagerState::Validate(std::uint64_t call_bytes) const {
  const MutexLock lock(mutex_);
  return residency_.Validate(call_bytes);
}

}  // namespace mdsa
