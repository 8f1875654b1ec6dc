#include "models/manager_state.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "models/config_conflict.h"

namespace mdsa {
namespace {

// Compared by owner: locking a weak pointer under a lock could leave the last reference there.
bool SameModel(const std::weak_ptr<Model>& a, const std::shared_ptr<Model>& b) {
  return !a.owner_before(b) && !b.owner_before(a);
}

Error UnloadedError(std::string_view model_id) {
  return Error(ErrorCode::kFailedPrecondition,
               fmt::format("model '{}' was unloaded; ask the manager for it again", model_id));
}

Error ClosedError(std::string_view model_id) {
  return Error(ErrorCode::kFailedPrecondition,
               fmt::format("the manager of model '{}' is gone", model_id));
}

Error CancelledError(std::string_view model_id) {
  return Error(ErrorCode::kCancelled, fmt::format("loading of '{}' was cancelled", model_id));
}

// The library throws nothing of its own, but memory may run out.
Result<std::shared_ptr<Model>> LoadOrError(const ModelSource& source, const ModelConfig& config,
                                           const LoadOptions& options) {
  try {
    return source.load(config, options);
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

ManagerState::Flight::Flight(const std::string& its_model_id, const ModelConfig& its_config,
                             std::uint64_t its_generation, const LoadOptions& options)
    : model_id(its_model_id),
      config(its_config),
      generation(its_generation),
      threads(options.threads),
      progress(options.on_progress),
      out_of_memory(ErrorCode::kResourceExhausted,
                    fmt::format("out of memory while loading '{}'", its_model_id)) {}

Result<std::shared_ptr<ManagerState>> ManagerState::Create(std::int64_t max_models,
                                                           ModelSource source) {
  MDSA_ASSIGN(auto registry, ModelRegistry::Create(max_models));
  return std::shared_ptr<ManagerState>(new ManagerState(std::move(registry), std::move(source)));
}

// The last reference may be that of a flight whose waiters are gone: a thread cannot join itself.
ManagerState::~ManagerState() {
  const MutexLock lock(mutex_);
  for (std::jthread& thread : ended_) {
    if (thread.get_id() == std::this_thread::get_id()) thread.detach();
  }
}

Result<ModelHandle> ManagerState::GetOrLoad(const std::string& model_id, const ModelConfig& config,
                                            const LoadOptions& options) {
  if (model_id.empty()) return Err(ErrorCode::kInvalidArgument, "model_id must not be empty");
  MDSA_TRY(config.Validate());
  MDSA_ASSIGN(const Obtained obtained, Obtain(model_id, &config, std::nullopt, options));
  ModelFacts facts = source_.describe(*obtained.model);
  ModelHandle handle;
  handle.model_id_ = model_id;
  handle.manager_ = weak_from_this();
  handle.generation_ = obtained.generation;
  handle.memory_bytes_ = facts.memory_bytes;
  handle.tokenizer_ = std::move(facts.tokenizer);
  handle.description_ = std::move(facts.description);
  return handle;
}

Result<std::shared_ptr<Model>> ManagerState::Acquire(const std::string& model_id,
                                                     std::uint64_t generation,
                                                     std::stop_token stop) {
  LoadOptions options;
  options.stop = std::move(stop);
  MDSA_ASSIGN(Obtained obtained, Obtain(model_id, nullptr, generation, options));
  return std::move(obtained.model);
}

bool ManagerState::Unload(std::string_view model_id) {
  Released released;
  std::shared_ptr<Flight> flight;
  bool known = false;
  {
    const MutexLock lock(mutex_);
    if (const auto slot = slots_.find(model_id); slot != slots_.end()) {
      flight = std::move(slot->second.flight);
      if (flight) Abandon(*flight, UnloadedError(model_id));
      slots_.erase(slot);
    }
    known = records().Unregister(model_id, released.records) || flight != nullptr;
  }
  if (flight) flight->stop.request_stop();
  return known;
}

void ManagerState::ClearAll() { DropAll(UnloadedError); }

void ManagerState::DropAll(Error (*reason)(std::string_view model_id)) {
  Released released;
  Slots slots;
  {
    const MutexLock lock(mutex_);
    slots.swap(slots_);
    for (const auto& [model_id, slot] : slots) {
      if (slot.flight) Abandon(*slot.flight, reason(model_id));
    }
    records().Clear(released.records);
  }
  for (const auto& [model_id, slot] : slots) {
    if (slot.flight) slot.flight->stop.request_stop();
  }
}

int ManagerState::CallersWaitingFor(std::string_view model_id) const {
  const MutexLock lock(mutex_);
  const auto slot = slots_.find(model_id);
  return slot != slots_.end() && slot->second.flight ? slot->second.flight->waiting : 0;
}

void ManagerState::Close() {
  {
    const MutexLock lock(mutex_);
    closed_ = true;
  }
  DropAll(ClosedError);
  Released released;
  const MutexLock lock(mutex_);
  const auto only_this_thread_runs = [&]() MDSA_REQUIRES(mutex_) {
    return std::ranges::all_of(running_, [](const std::jthread& thread) {
      return thread.get_id() == std::this_thread::get_id();
    });
  };
  thread_ended_.Wait(mutex_, {}, only_this_thread_runs);
  released.threads.splice(released.threads.end(), ended_);
}

Result<ManagerState::Obtained> ManagerState::Obtain(const std::string& model_id,
                                                    const ModelConfig* config,
                                                    std::optional<std::uint64_t> handle_generation,
                                                    const LoadOptions& options) {
  Released released;
  std::shared_ptr<Flight> flight;
  bool starts = false;
  {
    const MutexLock lock(mutex_);
    if (closed_) return std::unexpected(ClosedError(model_id));
    if (handle_generation) {
      MDSA_TRY(CheckHandle(model_id, *handle_generation));
      config = &slots_.find(model_id)->second.config;
    }
    MDSA_ASSIGN(std::optional<Obtained> found, FindInMemory(model_id, *config, released));
    if (found) {
      // The handle's model was replaced through the registry.
      if (handle_generation && found->generation != *handle_generation) {
        released.model = std::move(found->model);
        return std::unexpected(UnloadedError(model_id));
      }
      return *std::move(found);
    }
    const auto slot = slots_.find(model_id);
    if (slot != slots_.end() && slot->second.flight) {
      MDSA_TRY(CheckSameModel(model_id, slot->second.flight->config, *config));
      flight = slot->second.flight;
    } else {
      released.threads.splice(released.threads.end(), ended_);
      MDSA_ASSIGN(flight, StartFlight(model_id, *config, options));
      starts = true;
    }
    ++flight->waiting;
  }
  // The options end with this call, whether it returns or throws.
  struct Disconnect {
    ProgressRelay* progress;
    ~Disconnect() {
      if (progress != nullptr) progress->Disconnect();
    }
  } const disconnect{starts ? &flight->progress : nullptr};
  return Await(flight, options.stop);
}

Status ManagerState::CheckHandle(std::string_view model_id, std::uint64_t generation) const {
  const auto slot = slots_.find(model_id);
  if (slot != slots_.end() && slot->second.generation == generation) return {};
  return std::unexpected(UnloadedError(model_id));
}

Result<std::optional<ManagerState::Obtained>> ManagerState::FindInMemory(
    const std::string& model_id, const ModelConfig& config, Released& released) {
  MDSA_ASSIGN(std::optional<Obtained> found, FindRegistered(model_id, config, released));
  if (!found) {
    MDSA_ASSIGN(found, Revive(model_id, config, released));
  }
  return found;
}

Result<std::optional<ManagerState::Obtained>> ManagerState::FindRegistered(
    const std::string& model_id, const ModelConfig& config, Released& released) {
  released.info = records().Peek(model_id);
  if (!released.info) return std::nullopt;
  const ModelInfo& info = *released.info;
  if (info.model == nullptr) {
    return Err(ErrorCode::kFailedPrecondition,
               "the id '{}' is taken by an object that the application registered", model_id);
  }
  if (info.config) MDSA_TRY(CheckSameModel(model_id, *info.config, config));
  // Checked before it counts as a use.
  Obtained obtained{info.model};
  Slot& slot = slots_[model_id];
  if (slot.generation == 0 || !SameModel(slot.model, info.model)) {
    slot.generation = ++last_generation_;  // registered by the application
    slot.config = info.config.value_or(config);
    slot.model = info.model;
  }
  obtained.generation = slot.generation;
  released.info = records().Get(model_id);
  return obtained;
}

Result<std::optional<ManagerState::Obtained>> ManagerState::Revive(const std::string& model_id,
                                                                   const ModelConfig& config,
                                                                   Released& released) {
  const auto found = slots_.find(model_id);
  if (found == slots_.end() || found->second.flight) return std::nullopt;
  Slot& slot = found->second;
  released.model = slot.model.lock();
  if (!released.model || !CheckSameModel(model_id, slot.config, config)) return std::nullopt;
  ModelRegistry::Entry entry;
  entry.config = slot.config;
  entry.model = released.model;
  entry.memory_mb = source_.describe(*released.model).memory_mb();
  MDSA_ASSIGN(RegistryImpl::Removed record, MakeRecord(model_id, std::move(entry)));
  MDSA_TRY(records().Register(record, released.records));
  released.info = records().Get(model_id);
  return Obtained{released.model, slot.generation};
}

Result<std::shared_ptr<ManagerState::Flight>> ManagerState::StartFlight(
    const std::string& model_id, const ModelConfig& config, const LoadOptions& options) {
  const auto known = slots_.find(model_id);
  // A reload continues the life of the slot; another config begins a new one, in which the handles
  // of the old one are void.
  const bool reload = known != slots_.end() && known->second.generation != 0 &&
                      CheckSameModel(model_id, known->second.config, config);
  const std::uint64_t generation = reload ? known->second.generation : ++last_generation_;
  auto flight = std::make_shared<Flight>(model_id, config, generation, options);
  Slot& slot = known != slots_.end() ? known->second : slots_[model_id];
  Threads thread(1);
  flight->thread = thread.begin();
  try {
    thread.front() = std::jthread([self = shared_from_this(), flight] { self->RunFlight(flight); });
  } catch (const std::system_error& error) {
    if (slot.generation == 0) slots_.erase(model_id);
    return Err(ErrorCode::kResourceExhausted, "no thread to load '{}' on: {}", model_id,
               error.what());
  }
  // Before the load can end, for its end waits for the lock that is held here.
  running_.splice(running_.end(), thread);
  slot.flight = flight;
  return flight;
}

void ManagerState::Abandon(Flight& flight, Error error) {
  flight.result = std::unexpected(std::move(error));
  flight.done.NotifyAll();
}

void ManagerState::RunFlight(const std::shared_ptr<Flight>& flight) noexcept {
  try {
    LoadOptions options;
    options.threads = flight->threads;
    options.stop = flight->stop.get_token();
    if (flight->progress.connected()) options.on_progress = std::ref(flight->progress);
    FinishFlight(flight, LoadOrError(source_, flight->config, options));
  } catch (...) {
    FailFlight(flight, std::move(flight->out_of_memory));
  }
  const MutexLock lock(mutex_);
  ended_.splice(ended_.end(), running_, flight->thread);
  thread_ended_.NotifyAll();
}

void ManagerState::FinishFlight(const std::shared_ptr<Flight>& flight,
                                Result<std::shared_ptr<Model>> loaded) {
  if (loaded) {
    auto registered = RegisterLoaded(*flight, *loaded);
    if (!registered) loaded = std::unexpected(std::move(registered).error());
  }
  if (!loaded) return FailFlight(flight, std::move(loaded).error());
  // The evicted models are freed by now, and from here on only those who asked hold this one.
  const MutexLock lock(mutex_);
  if (flight->result) return;
  flight->result = Obtained{*std::move(loaded), flight->generation};
  DetachFlight(*flight);
  flight->done.NotifyAll();
}

Status ManagerState::RegisterLoaded(const Flight& flight, const std::shared_ptr<Model>& model) {
  ModelRegistry::Entry entry;
  entry.config = flight.config;
  entry.model = model;
  entry.memory_mb = source_.describe(*model).memory_mb();
  MDSA_ASSIGN(RegistryImpl::Removed record, MakeRecord(flight.model_id, std::move(entry)));
  ModelConfig config = flight.config;
  Released released;
  const MutexLock lock(mutex_);
  if (flight.result) return {};  // abandoned
  MDSA_TRY(records().Register(record, released.records));
  Slot& slot = slots_.find(flight.model_id)->second;
  slot.generation = flight.generation;
  slot.config = std::move(config);
  slot.model = model;
  return {};
}

void ManagerState::FailFlight(const std::shared_ptr<Flight>& flight, Error error) {
  const MutexLock lock(mutex_);
  if (flight->result) return;
  Abandon(*flight, std::move(error));
  DetachFlight(*flight);
}

void ManagerState::DetachFlight(const Flight& flight) {
  const auto slot = slots_.find(flight.model_id);
  slot->second.flight.reset();
  if (slot->second.generation == 0) slots_.erase(slot);
}

Result<ManagerState::Obtained> ManagerState::Await(const std::shared_ptr<Flight>& flight,
                                                   std::stop_token stop) {
  Released released;
  bool nobody_waits = false;
  {
    const MutexLock lock(mutex_);
    const bool ended =
        flight->done.Wait(mutex_, std::move(stop), [&] { return flight->result.has_value(); });
    const bool last = --flight->waiting == 0;
    if (ended) {
      // Nothing if it is evicted again already.
      if (*flight->result) released.info = records().Get(flight->model_id);
      // The flight must not keep the model: its thread may last longer than the callers.
      return last ? *std::move(flight->result) : *flight->result;
    }
    if (last) {
      Abandon(*flight, CancelledError(flight->model_id));
      // A later caller starts afresh instead of joining a load that is being stopped.
      DetachFlight(*flight);
    }
    nobody_waits = last;
  }
  if (nobody_waits) flight->stop.request_stop();
  return std::unexpected(CancelledError(flight->model_id));
}

}  // namespace mdsa
