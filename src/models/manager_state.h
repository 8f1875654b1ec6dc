// What ModelManager and its handles share: which ids are known, which are loading, and who waits.
//
// Every decision is taken under one lock that is held for microseconds; loading, freeing, stop
// callbacks and waiting happen outside of it. Lock order: ManagerState, then RegistryImpl.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "mdsa/model_manager.h"
#include "models/registry_impl.h"

namespace mdsa {

// What the manager wants to know about a model.
struct ModelFacts {
  double memory_mb = 0.0;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ModelDescription> description;
};

// How models come about: the loader in the library, fakes in tests. Both are called from any number
// of threads; `describe` is called under a lock and must be quick.
struct ModelSource {
  std::function<Result<std::shared_ptr<Model>>(const ModelConfig&, const LoadOptions&)> load;
  std::function<ModelFacts(const Model&)> describe;
};

// Thread-safe.
class ManagerState : public std::enable_shared_from_this<ManagerState> {
 public:
  static Result<std::shared_ptr<ManagerState>> Create(std::int64_t max_models, ModelSource source);

  // See ModelManager.
  Result<ModelHandle> GetOrLoad(const std::string& model_id, const ModelConfig& config,
                                const LoadOptions& options) MDSA_EXCLUDES(mutex_);
  bool Unload(std::string_view model_id) MDSA_EXCLUDES(mutex_);
  void ClearAll() MDSA_EXCLUDES(mutex_);
  ModelRegistry& registry() { return *registry_; }

  // For a handle made in `generation`: the model, loaded again if it was evicted.
  Result<std::shared_ptr<Model>> Acquire(const std::string& model_id, std::uint64_t generation)
      MDSA_EXCLUDES(mutex_);

  // Callers that share the load in flight of that id, the one that runs it included; 0 if none is.
  int CallersWaitingFor(std::string_view model_id) const MDSA_EXCLUDES(mutex_);

  // The manager is gone: nothing stays loaded, and handles get an error from now on.
  void Close() MDSA_EXCLUDES(mutex_);

 private:
  struct Obtained {
    std::shared_ptr<Model> model;
    std::uint64_t generation = 0;
  };

  // One load and everybody who waits for it. All members but the constants are guarded by mutex_.
  struct Flight {
    Flight(const ModelConfig& its_config, std::uint64_t its_generation)
        : config(its_config), generation(its_generation) {}

    const ModelConfig config;
    const std::uint64_t generation;
    std::stop_source stop;  // internally synchronized
    int waiting = 1;        // callers that still want the result
    // Set once: by the end of the load, or before that by an unload or by the last one leaving.
    std::optional<Result<Obtained>> result;
    CondVar done;
  };

  // An id that is loading, loaded, or was evicted. Lives until an explicit unload.
  struct Slot {
    std::uint64_t generation = 0;  // 0: never loaded yet
    ModelConfig config;
    std::weak_ptr<Model> model;  // may outlive its registration in the hands of a request
    std::shared_ptr<Flight> flight;
  };
  using Slots = std::map<std::string, Slot, std::less<>>;

  // Whatever may hold a last reference. Declared before a lock is taken, so freed after it.
  struct Released {
    RegistryImpl::Removed records;
    std::optional<ModelInfo> info;
    std::shared_ptr<Model> model;
  };

  ManagerState(std::unique_ptr<ModelRegistry> registry, ModelSource source)
      : registry_(std::move(registry)), source_(std::move(source)) {}

  RegistryImpl& records() { return *registry_->impl_; }

  // `handle_generation` is of the handle that asks, or nullopt for GetOrLoad, which brings
  // `config`.
  Result<Obtained> Obtain(const std::string& model_id, const ModelConfig* config,
                          std::optional<std::uint64_t> handle_generation,
                          const LoadOptions& options) MDSA_EXCLUDES(mutex_);
  Status CheckHandle(std::string_view model_id, std::uint64_t generation) const
      MDSA_REQUIRES(mutex_);
  // The model if it is in memory; counts a use. Brings back one that was evicted but is still held.
  Result<std::optional<Obtained>> FindInMemory(const std::string& model_id,
                                               const ModelConfig& config, Released& released)
      MDSA_REQUIRES(mutex_);
  Result<std::optional<Obtained>> FindRegistered(const std::string& model_id,
                                                 const ModelConfig& config, Released& released)
      MDSA_REQUIRES(mutex_);
  Result<std::optional<Obtained>> Revive(const std::string& model_id, const ModelConfig& config,
                                         Released& released) MDSA_REQUIRES(mutex_);
  std::shared_ptr<Flight> StartFlight(const std::string& model_id, const ModelConfig& config)
      MDSA_REQUIRES(mutex_);
  // Ends a flight before its load has ended. The caller requests its stop outside the lock.
  void Abandon(Flight& flight, Error error) MDSA_REQUIRES(mutex_);

  void RunFlight(const std::string& model_id, const std::shared_ptr<Flight>& flight,
                 LoadOptions options) MDSA_EXCLUDES(mutex_);
  void FinishFlight(const std::string& model_id, const std::shared_ptr<Flight>& flight,
                    Result<std::shared_ptr<Model>> loaded) MDSA_EXCLUDES(mutex_);
  Result<Obtained> Await(const std::string& model_id, const std::shared_ptr<Flight>& flight,
                         std::stop_token stop) MDSA_EXCLUDES(mutex_);
  // One caller no longer wants the result; the last one ends the load.
  void Leave(const std::string& model_id, const std::shared_ptr<Flight>& flight)
      MDSA_EXCLUDES(mutex_);

  const std::unique_ptr<ModelRegistry> registry_;
  const ModelSource source_;
  mutable Mutex mutex_;
  bool closed_ MDSA_GUARDED_BY(mutex_) = false;
  std::uint64_t last_generation_ MDSA_GUARDED_BY(mutex_) = 0;
  Slots slots_ MDSA_GUARDED_BY(mutex_);
};

}  // namespace mdsa
