#include "models/manager_state.h"

#include <exception>
#include <new>
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
               fmt::format("model '{}' was unloaded; call GetOrLoad again", model_id));
}

Error ClosedError(std::string_view model_id) {
  return Error(ErrorCode::kFailedPrecondition,
               fmt::format("the manager of model '{}' is gone", model_id));
}

// The library throws nothing of its own, but memory may run out, and an application's progress
// callback may throw: those who wait must still hear of it.
Result<std::shared_ptr<Model>> LoadOrError(const ModelSource& source, const ModelConfig& config,
                                           const LoadOptions& options) {
  try {
    return source.load(config, options);
  } catch (const std::bad_alloc&) {
    return Err(ErrorCode::kResourceExhausted, "out of memory while loading '{}'",
               config.model_name);
  } catch (const std::exception& error) {
    return Err(ErrorCode::kInternal, "loading '{}' threw: {}", config.model_name, error.what());
  }
}

}  // namespace

Result<std::shared_ptr<ManagerState>> ManagerState::Create(std::int64_t max_models,
                                                           ModelSource source) {
  MDSA_ASSIGN(auto registry, ModelRegistry::Create(max_models));
  return std::shared_ptr<ManagerState>(new ManagerState(std::move(registry), std::move(source)));
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
  handle.tokenizer_ = std::move(facts.tokenizer);
  handle.description_ = std::move(facts.description);
  return handle;
}

Result<std::shared_ptr<Model>> ManagerState::Acquire(const std::string& model_id,
                                                     std::uint64_t generation) {
  MDSA_ASSIGN(Obtained obtained, Obtain(model_id, nullptr, generation, {}));
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

void ManagerState::ClearAll() {
  Released released;
  Slots slots;
  {
    const MutexLock lock(mutex_);
    slots.swap(slots_);
    for (const auto& [model_id, slot] : slots) {
      if (slot.flight) Abandon(*slot.flight, UnloadedError(model_id));
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
  ClearAll();
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
      ++flight->waiting;
    } else {
      flight = StartFlight(model_id, *config);
      starts = true;
    }
  }
  if (starts) RunFlight(model_id, flight, options);
  return Await(model_id, flight, options.stop);
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
  entry.memory_mb = source_.describe(*released.model).memory_mb;
  MDSA_ASSIGN(RegistryImpl::Removed record, MakeRecord(model_id, std::move(entry)));
  MDSA_TRY(records().Register(record, released.records));
  released.info = records().Get(model_id);
  return Obtained{released.model, slot.generation};
}

std::shared_ptr<ManagerState::Flight> ManagerState::StartFlight(const std::string& model_id,
                                                                const ModelConfig& config) {
  Slot& slot = slots_[model_id];
  // A reload continues the life of the slot; another config begins a new one, in which the handles
  // of the old one are void.
  const bool reload = slot.generation != 0 && CheckSameModel(model_id, slot.config, config);
  const std::uint64_t generation = reload ? slot.generation : ++last_generation_;
  slot.flight = std::make_shared<Flight>(config, generation);
  return slot.flight;
}

void ManagerState::Abandon(Flight& flight, Error error) {
  flight.result = std::unexpected(std::move(error));
  flight.done.NotifyAll();
}

void ManagerState::RunFlight(const std::string& model_id, const std::shared_ptr<Flight>& flight,
                             LoadOptions options) {
  Result<std::shared_ptr<Model>> loaded;
  {
    const std::stop_callback leave(std::exchange(options.stop, flight->stop.get_token()),
                                   [&] { Leave(model_id, flight); });
    loaded = LoadOrError(source_, flight->config, options);
  }
  FinishFlight(model_id, flight, std::move(loaded));
}

void ManagerState::FinishFlight(const std::string& model_id, const std::shared_ptr<Flight>& flight,
                                Result<std::shared_ptr<Model>> loaded) {
  Released released;
  RegistryImpl::Removed record;
  if (loaded) {
    ModelRegistry::Entry entry;
    entry.config = flight->config;
    entry.model = *loaded;
    entry.memory_mb = source_.describe(**loaded).memory_mb;
    auto made = MakeRecord(model_id, std::move(entry));
    if (made) record = *std::move(made);
    if (!made) loaded = std::unexpected(std::move(made).error());
  }
  const MutexLock lock(mutex_);
  if (flight->result) return;  // abandoned: the model is freed when this returns
  Slot& slot = slots_.find(model_id)->second;
  slot.flight.reset();
  if (loaded) {
    if (auto registered = records().Register(record, released.records); !registered) {
      loaded = std::unexpected(std::move(registered).error());
    }
  }
  if (loaded) {
    slot.generation = flight->generation;
    slot.config = flight->config;
    slot.model = *loaded;
    flight->result = Obtained{*loaded, flight->generation};
  } else {
    if (slot.generation == 0) slots_.erase(model_id);
    flight->result = std::unexpected(std::move(loaded).error());
  }
  flight->done.NotifyAll();
}

Result<ManagerState::Obtained> ManagerState::Await(const std::string& model_id,
                                                   const std::shared_ptr<Flight>& flight,
                                                   std::stop_token stop) {
  Released released;
  {
    const MutexLock lock(mutex_);
    if (flight->done.Wait(mutex_, std::move(stop), [&] { return flight->result.has_value(); })) {
      // Nothing if it is evicted again already.
      if (*flight->result) released.info = records().Get(model_id);
      return *flight->result;
    }
  }
  Leave(model_id, flight);
  return Err(ErrorCode::kCancelled, "loading of '{}' was cancelled", model_id);
}

void ManagerState::Leave(const std::string& model_id, const std::shared_ptr<Flight>& flight) {
  {
    const MutexLock lock(mutex_);
    if (--flight->waiting > 0 || flight->result) return;
    Abandon(*flight,
            Error(ErrorCode::kCancelled, fmt::format("loading of '{}' was cancelled", model_id)));
    // A later caller starts afresh instead of joining a load that is being stopped.
    const auto slot = slots_.find(model_id);
    slot->second.flight.reset();
    if (slot->second.generation == 0) slots_.erase(slot);
  }
  flight->stop.request_stop();
}

}  // namespace mdsa
