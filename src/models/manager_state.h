// What ModelManager and its handles share: which ids are known, which are loading, and who waits.
//
// Every decision is taken under one lock that is held for microseconds; loading, freeing, callbacks
// and waiting happen outside of it. Each load runs on a thread of its own, so that everybody who
// wants the model, the one who asked first included, only waits and may stop waiting at any time.
// Lock order: ManagerState, then RegistryImpl.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "base/mutex.h"
#include "mdsa/model_manager.h"
#include "models/progress_relay.h"
#include "models/registry_impl.h"

namespace mdsa {

// What the manager wants to know about a model.
struct ModelFacts {
  std::uint64_t memory_bytes = 0;
  double memory_mb() const { return static_cast<double>(memory_bytes) / 1e6; }
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
  ~ManagerState();

  // See ModelManager.
  Result<ModelHandle> GetOrLoad(const std::string& model_id, const ModelConfig& config,
                                const LoadOptions& options) MDSA_EXCLUDES(mutex_);
  bool Unload(std::string_view model_id) MDSA_EXCLUDES(mutex_);
  void ClearAll() MDSA_EXCLUDES(mutex_);
  ModelRegistry& registry() { return *registry_; }

  // For a handle made in `generation`: the model, loaded again if it was evicted. `stop` ends the
  // wait for that.
  Result<std::shared_ptr<Model>> Acquire(const std::string& model_id, std::uint64_t generation,
                                         std::stop_token stop = {}) MDSA_EXCLUDES(mutex_);

  // Callers that wait for the load in flight of that id; 0 if none is.
  int CallersWaitingFor(std::string_view model_id) const MDSA_EXCLUDES(mutex_);

  // The manager is gone: nothing stays loaded, and handles get an error from now on. Cancels the
  // loads in flight and returns when they have ended, so that no thread and no callback outlives
  // it; a load that calls this itself (a freed object may) is not waited for.
  void Close() MDSA_EXCLUDES(mutex_);

 private:
  struct Obtained {
    std::shared_ptr<Model> model;
    std::uint64_t generation = 0;
  };

  using Threads = std::list<std::jthread>;

  // One load and everybody who waits for it. What changes is guarded by mutex_.
  struct Flight {
    Flight(const std::string& its_model_id, const ModelConfig& its_config,
           std::uint64_t its_generation, const LoadOptions& options);

    const std::string model_id;
    const ModelConfig config;
    const std::uint64_t generation;
    const int threads;       // of the loader
    ProgressRelay progress;  // to the caller that started it, as long as it waits
    std::stop_source stop;   // internally synchronized
    Error out_of_memory;     // made while there was memory
    int waiting = 0;         // callers that still want the result
    // Set once: by the end of the load, or before that by an unload or by the last one leaving.
    std::optional<Result<Obtained>> result;
    CondVar done;
    Threads::iterator thread;
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
    Threads threads;  // that have ended; joined
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
  // kResourceExhausted if there is no thread to be had.
  Result<std::shared_ptr<Flight>> StartFlight(const std::string& model_id,
                                              const ModelConfig& config, const LoadOptions& options)
      MDSA_REQUIRES(mutex_);
  // Ends a flight before its load has ended. The caller requests its stop outside the lock.
  void Abandon(Flight& flight, Error error) MDSA_REQUIRES(mutex_);
  void DropAll(Error (*reason)(std::string_view model_id)) MDSA_EXCLUDES(mutex_);

  // On the flight's own thread; whatever happens, those who wait hear of it.
  void RunFlight(const std::shared_ptr<Flight>& flight) noexcept MDSA_EXCLUDES(mutex_);
  void FinishFlight(const std::shared_ptr<Flight>& flight, Result<std::shared_ptr<Model>> loaded)
      MDSA_EXCLUDES(mutex_);
  // Frees what it evicts before it returns.
  Status RegisterLoaded(const Flight& flight, const std::shared_ptr<Model>& model)
      MDSA_EXCLUDES(mutex_);
  void FailFlight(const std::shared_ptr<Flight>& flight, Error error) MDSA_EXCLUDES(mutex_);
  // Nobody finds the flight any more; an id that was never loaded is forgotten.
  void DetachFlight(const Flight& flight) MDSA_REQUIRES(mutex_);
  // Waits for the result, or for `stop`: then this caller no longer wants it, and the last one of
  // these ends the load.
  Result<Obtained> Await(const std::shared_ptr<Flight>& flight, std::stop_token stop)
      MDSA_EXCLUDES(mutex_);
  const std::unique_ptr<ModelRegistry> registry_;
  const ModelSource source_;
  mutable Mutex mutex_;
  bool closed_ MDSA_GUARDED_BY(mutex_) = false;
  std::uint64_t last_generation_ MDSA_GUARDED_BY(mutex_) = 0;
  Slots slots_ MDSA_GUARDED_BY(mutex_);
  Threads running_ MDSA_GUARDED_BY(mutex_);
  Threads ended_ MDSA_GUARDED_BY(mutex_);  // left to be joined
  CondVar thread_ended_;
};

}  // namespace mdsa
