// Keeps models ready under limits: the way most applications use this library.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/config_file.h"
#include "mdsa/model_config.h"
#include "mdsa/model_lease.h"
#include "mdsa/model_loader.h"
#include "mdsa/model_registry.h"
#include "mdsa/residency.h"
#include "mdsa/result.h"

namespace mdsa {

// How Unload waits for the calls in progress.
struct UnloadOptions {
  // Cancels the calls in progress first: they end with kCancelled. Needed for a pinned model.
  bool force = false;
  // nullopt: ResidencyOptions::wait_timeout.
  std::optional<std::chrono::nanoseconds> timeout;
  std::stop_token stop;
};

struct UnloadResult {
  bool known = false;             // loaded or loading
  std::uint64_t freed_bytes = 0;  // given back to the system and to the ledger
};

// Ends when destroyed: the sink is not called after that. Move-only.
class EventSubscription {
 public:
  EventSubscription() = default;
  EventSubscription(EventSubscription&& other) noexcept;
  EventSubscription& operator=(EventSubscription&& other) noexcept;
  ~EventSubscription();

 private:
  friend class ModelManager;
  EventSubscription(std::weak_ptr<ManagerState> manager, std::uint64_t id)
      : manager_(std::move(manager)), id_(id) {}

  std::weak_ptr<ManagerState> manager_;
  std::uint64_t id_ = 0;
};

// Thread-safe. Concurrent requests for one id load it once; different models load in parallel as
// the limits allow; a request for a model that is ready waits for nobody. No lock is held while a
// model is loaded, used or freed.
class ModelManager {
 public:
  struct Options {
    ResidencyOptions residency;
    std::optional<std::filesystem::path> cache_dir;
    std::shared_ptr<const ResidencyPolicy> policy;  // null: LruPolicy
  };
  // kInvalidArgument naming what is wrong with the options.
  static Result<std::unique_ptr<ModelManager>> Create(const Options& options);
  static Result<std::unique_ptr<ModelManager>> Create(std::int64_t max_models = 10);
  // With the limits, the cache and the models of a configuration file. Nothing is loaded yet.
  static Result<std::unique_ptr<ModelManager>> Create(const ConfigFile& file);
  // Cancels the loads in flight and waits until they have ended; whoever waits for one gets
  // kFailedPrecondition. A model that is leased is freed when its last lease goes.
  ~ModelManager();
  ModelManager(const ModelManager&) = delete;
  ModelManager& operator=(const ModelManager&) = delete;

  // The model of that id, loaded with `config` if it is not there. A loaded id with a config that
  // would load differently (model_name, device, quantization, torch_dtype, a larger max_length,
  // cache_dir) is kFailedPrecondition naming the field; other fields, a smaller max_length and
  // batch_size among them, share what is loaded.
  //
  // Callers that ask for an id while it loads share that load and its result. It runs on a thread
  // of its own, with the options of the caller who came first; each caller's own `stop` and
  // `timeout` end its own wait, and the load itself stops only when nobody waits for it any more.
  // `on_progress` is called until this returns and never after it; it must neither ask for the same
  // id nor destroy the manager. A load that failed is not repeated for a while: until then callers
  // get its error at once.
  //
  // Memory is reserved before it is allocated. If it is short, models that nobody uses are evicted,
  // no more than needed; if only models in use are in the way, the caller waits for them.
  // kResourceExhausted if it can never fit, naming what is in the way.
  Result<ModelHandle> GetOrLoad(const std::string& model_id, const ModelConfig& config,
                                const RequestOptions& options = {});
  // With the configuration that was declared for the id, or with which it was loaded. kNotFound if
  // there is none.
  Result<ModelHandle> GetOrLoad(const std::string& model_id, const RequestOptions& options = {});
  // The same with a lease. Objects of the application can be leased too.
  Result<ModelLease> Lease(const std::string& model_id, const ModelConfig& config,
                           const RequestOptions& options = {});
  Result<ModelLease> Lease(const std::string& model_id, const RequestOptions& options = {});

  // Nobody finds the model any more, and its handles become void; a load in flight is cancelled,
  // and all who wait for it get kFailedPrecondition at once. Then waits until the calls in progress
  // have ended and the memory is free. kDeadlineExceeded or kCancelled if that takes too long: it
  // is freed later, by whoever ends last. From within a call on that very model it does not wait.
  // kFailedPrecondition for a pinned model without `force`.
  Result<UnloadResult> Unload(std::string_view model_id, const UnloadOptions& options = {});
  // Every model and object, pinned ones too; does not wait for calls in progress.
  void ClearAll();

  // Settings of an id, known or not; they outlive its loads.
  ModelSettings settings(std::string_view model_id) const;
  Status SetSettings(const std::string& model_id, const ModelSettings& settings);
  // One of them, whatever another thread does to the other.
  Status SetPinned(const std::string& model_id, bool pinned);
  Status SetTimeToLive(const std::string& model_id,
                       std::optional<std::chrono::nanoseconds> time_to_live);
  // Configuration and settings of an id, for requests without a configuration.
  Status Declare(const DeclaredModel& model);
  // The configuration of a request without one; nullopt where that is kNotFound.
  std::optional<ModelConfig> ConfigOf(const std::string& model_id) const;
  struct PreloadResult {
    std::string model_id;
    bool required = false;
    Status status;
  };
  // Loads the declared models that ask for it, at the same time as far as the limits allow, and
  // warms them up. One result each, failures included.
  std::vector<PreloadResult> Preload(const RequestOptions& options = {});

  // Whether and how the model would find room now. Loads nothing and changes nothing.
  Result<ResidencyExplanation> Explain(const std::string& model_id,
                                       const ModelConfig& config) const;
  Result<ResidencyExplanation> Explain(const std::string& model_id) const;
  ResidencyMetrics Metrics() const;
  EventSubscription Subscribe(ModelEventSink sink);

  bool IsLoaded(std::string_view model_id) const;
  std::optional<ModelInfo> GetInfo(std::string_view model_id) const;  // counts no use
  RegistryStats GetStats() const;
  std::vector<std::string> ListModels() const;
  const ResidencyOptions& residency_options() const;

  const ModelLoader& loader() const;
  // For foreign objects, the limit and statistics. Unregistering a model here is an eviction: its
  // handles load it again.
  ModelRegistry& registry();

 private:
  ModelManager(std::shared_ptr<const ModelLoader> loader, std::shared_ptr<ManagerState> state,
               const ResidencyOptions& options);

  const std::shared_ptr<const ModelLoader> loader_;
  const std::shared_ptr<ManagerState> state_;
  const ResidencyOptions options_;
  const std::unique_ptr<ModelRegistry> registry_;
};

}  // namespace mdsa
