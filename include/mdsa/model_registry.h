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
#include "mdsa/result.h"

namespace mdsa {

class Model;

// A snapshot of one entry. Holding it keeps the objects alive, so it is meant for the time of a
// call.
struct ModelInfo {
  std::string model_id;
  std::optional<ModelConfig> config;
  std::shared_ptr<Model> model;  // null for a foreign object
  std::shared_ptr<void>
      foreign;  // an object of the application (a Python object, for one), or null
  std::shared_ptr<void> foreign_tokenizer;
  double memory_mb = 0.0;  // 1 MB = 1,000,000 bytes
  std::chrono::system_clock::time_point loaded_at;
  std::chrono::system_clock::time_point last_used;
  std::int64_t use_count = 0;
};

struct RegistryStats {
  std::int64_t models_loaded = 0;
  std::int64_t max_models = 0;
  double total_memory_mb = 0.0;
  std::int64_t total_uses = 0;
  std::vector<ModelInfo> models;  // in registration order, without the objects
};

class RegistryImpl;

// Thread-safe. Nothing is freed and no destructor of an object runs while the registry's lock is
// held, so it may call the registry. Recency is the order of uses, not a clock: ties and clock
// steps cannot change the victim.
class ModelRegistry {
 public:
  // kInvalidArgument if max_models < 1.
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
  };
  // Adds an entry with no use counted. At the limit, least recently used entries go first, as many
  // as needed and no more; their ids come back. kAlreadyExists for a known id, kInvalidArgument for
  // an empty id or a negative or non-finite size.
  Result<std::vector<std::string>> Register(std::string model_id, Entry entry);

  // Counts a use. nullopt if unknown.
  std::optional<ModelInfo> Get(std::string_view model_id);
  // The same without counting: statistics never change recency.
  std::optional<ModelInfo> Peek(std::string_view model_id) const;
  bool IsLoaded(std::string_view model_id) const;
  // False if unknown. Calls in progress keep the model until they end.
  bool Unregister(std::string_view model_id);
  void Clear();

  std::vector<std::string> ListModels() const;  // in registration order
  RegistryStats GetStats() const;
  std::int64_t size() const;
  std::int64_t max_models() const;
  // Counts from the next Register on. kInvalidArgument if below 1.
  Status SetMaxModels(std::int64_t max_models);

 private:
  friend class ManagerState;
  explicit ModelRegistry(std::int64_t max_models);
  std::unique_ptr<RegistryImpl> impl_;
};

}  // namespace mdsa
