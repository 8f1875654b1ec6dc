// Which models are loaded, how they were used, and which goes first when the limit is reached.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mdsa/model_config.h"
#include "mdsa/model_lease.h"
#include "mdsa/residency.h"
#include "mdsa/result.h"

namespace mdsa {

// A snapshot of one entry. It keeps no model in memory: `model` loads it again if need be. Of an
// object of the application it holds a reference, so it is meant for the time of a call.
struct ModelInfo {
  std::string model_id;
  std::optional<ModelConfig> config;
  std::optional<ModelHandle> model;  // none for a foreign object
  std::shared_ptr<void>
      foreign;  // an object of the application (a Python object, for one), or null
  std::shared_ptr<void> foreign_tokenizer;
  std::optional<EntryRef> entry;  // of either
  SlotState state = SlotState::kReady;
  double memory_mb = 0.0;  // 1 MB = 1,000,000 bytes
  std::chrono::system_clock::time_point loaded_at;
  std::chrono::system_clock::time_point last_used;
  std::int64_t use_count = 0;
  std::int64_t leases = 0;  // calls that use it now
  ModelSettings settings;
};

struct RegistryStats {
  std::int64_t models_loaded = 0;
  std::int64_t max_models = 0;
  double total_memory_mb = 0.0;
  std::int64_t total_uses = 0;
  std::vector<ModelInfo> models;  // in registration order, without the objects
};

// Thread-safe. Nothing is freed and no destructor of an object runs while a lock is held, so it may
// call the registry. Recency is the order of uses by a monotonic clock: steps of the wall clock
// cannot change the victim.
class ModelRegistry {
 public:
  // One of its own, for objects and models that the application made. kInvalidArgument if
  // max_models < 1.
  static Result<std::unique_ptr<ModelRegistry>> Create(std::int64_t max_models = 2);
  ~ModelRegistry();
  ModelRegistry(const ModelRegistry&) = delete;
  ModelRegistry& operator=(const ModelRegistry&) = delete;

  struct Entry {
    std::optional<ModelConfig> config;
    std::shared_ptr<Model> model;
    std::shared_ptr<void> foreign;
    std::shared_ptr<void> foreign_tokenizer;
    double memory_mb = 0.0;
    std::string device = "cpu";  // whose memory it takes
  };
  // Adds an entry with no use counted. At a limit, least recently used entries that nobody uses are
  // freed first, as many as needed and no more; their ids come back. kAlreadyExists for a known id,
  // kInvalidArgument for an empty id or a negative or non-finite size, kResourceExhausted naming
  // who is in the way if what could go does not make room.
  Result<std::vector<std::string>> Register(std::string model_id, Entry entry);

  // For an object that is about to be made: evicts what Register would evict for it, and what has
  // to go so that the machine can give `allocated_mb`. Nothing is reserved. kResourceExhausted,
  // with nobody evicted, if what could go does not make room.
  struct Room {
    double memory_mb = 0.0;
    double allocated_mb = 0.0;
    std::string device = "cpu";
  };
  Status MakeRoom(const std::string& model_id, const Room& room);

  // Counts a use. nullopt if unknown.
  std::optional<ModelInfo> Get(std::string_view model_id);
  // The same without counting: statistics never change recency.
  std::optional<ModelInfo> Peek(std::string_view model_id) const;
  // While the lease lives, the entry is not evicted. kNotFound if unknown.
  Result<ModelLease> Lease(std::string_view model_id);
  bool IsLoaded(std::string_view model_id) const;
  // False if unknown or pinned. Calls in progress keep the model until they end.
  bool Unregister(std::string_view model_id);
  void Clear();

  std::vector<std::string> ListModels() const;  // in registration order
  RegistryStats GetStats() const;
  std::int64_t size() const;
  std::int64_t max_models() const;
  // Counts from the next Register or load on. kInvalidArgument if below 1.
  Status SetMaxModels(std::int64_t max_models);

 private:
  friend class ModelManager;
  ModelRegistry(std::shared_ptr<ManagerState> state, bool owns_state)
      : state_(std::move(state)), owns_state_(owns_state) {}

  const std::shared_ptr<ManagerState> state_;
  const bool owns_state_;
};

}  // namespace mdsa
