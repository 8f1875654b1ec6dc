// Keeps models ready under a limit: the way most applications use this library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/model.h"
#include "mdsa/model_config.h"
#include "mdsa/model_loader.h"
#include "mdsa/model_registry.h"
#include "mdsa/result.h"

namespace mdsa {

class ManagerState;

// What an application keeps: cheap to copy, and holds no weights in place. Each call counts as a
// use and takes the model for its own duration; a model that was evicted meanwhile is loaded again,
// once for all who need it. After an explicit Unload or ClearAll, or when the manager is gone,
// calls return kFailedPrecondition. Thread-safe.
class ModelHandle {
 public:
  const std::string& model_id() const { return model_id_; }
  // Stays usable while the model is evicted. Null if the checkpoint has no tokenizer.
  const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }
  const ModelDescription& description() const { return *description_; }
  // What the model takes while it is in memory, as in Model.
  std::uint64_t memory_bytes() const { return memory_bytes_; }

  // The model itself, loaded if need be. Holding the pointer keeps the memory: for the time of a
  // call, or of a few that belong together. `stop` ends the wait for a load (kCancelled).
  Result<std::shared_ptr<const Model>> Acquire(std::stop_token stop = {}) const;

  // As in Model. `stop` also ends the wait for a model that was evicted.
  Result<ForwardOutput> Forward(const ForwardInput& input) const;
  Result<Tensor> Embed(std::span<const std::string> texts) const;
  Result<Tensor> Classify(std::span<const std::string> texts) const;
  Result<GenerationResult> Generate(std::span<const TokenId> prompt,
                                    const GenerationOptions& options, const TextSink& on_text = {},
                                    const TokenSink& on_token = {},
                                    std::stop_token stop = {}) const;
  Result<std::vector<GenerationResult>> GenerateBatch(std::span<const std::vector<TokenId>> prompts,
                                                      const GenerationOptions& options,
                                                      const BatchTokenSink& on_token = {},
                                                      std::stop_token stop = {}) const;
  Result<GenerationResult> GenerateText(std::string_view prompt, const GenerationOptions& options,
                                        const TextSink& on_text = {},
                                        bool add_special_tokens = true,
                                        std::stop_token stop = {}) const;
  Result<GenerationResult> Chat(std::span<const ChatMessage> messages,
                                const GenerationOptions& options, const TextSink& on_text = {},
                                std::stop_token stop = {}) const;

 private:
  friend class ManagerState;
  ModelHandle() = default;

  std::string model_id_;
  std::weak_ptr<ManagerState> manager_;
  std::uint64_t generation_ = 0;  // which loading of this id; an explicit unload ends it
  std::uint64_t memory_bytes_ = 0;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const ModelDescription> description_;
};

// Thread-safe. Concurrent requests for one id load it once; different models load in parallel; a
// hit waits for nobody's load. No lock is held while a model is loaded, used or freed.
class ModelManager {
 public:
  struct Options {
    std::int64_t max_models = 10;
    std::optional<std::filesystem::path> cache_dir;
  };
  // kInvalidArgument if max_models < 1.
  static Result<std::unique_ptr<ModelManager>> Create(const Options& options);
  static Result<std::unique_ptr<ModelManager>> Create(std::int64_t max_models = 10);
  // Cancels the loads in flight and waits until they have ended; whoever waits for one gets
  // kFailedPrecondition.
  ~ModelManager();
  ModelManager(const ModelManager&) = delete;
  ModelManager& operator=(const ModelManager&) = delete;

  // The model of that id, loaded with `config` if it is not there. A loaded id with a config that
  // would load differently (model_name, device, quantization, torch_dtype, max_length, cache_dir)
  // is kFailedPrecondition naming the field; the other fields, batch_size among them, stay those of
  // the load. After a failed load nothing stays registered and the next
  // call tries again.
  //
  // Callers that ask for an id while it loads share that load and its result. It runs on a thread
  // of its own, with the options of the caller who came first; each caller's own `options.stop`
  // ends its own wait (kCancelled), and the load itself stops only when nobody waits for it any
  // more. `options.on_progress` is called until this returns and never after it; it must neither
  // ask for the same id nor destroy the manager. kResourceExhausted if there is no memory or no
  // thread for the load.
  Result<ModelHandle> GetOrLoad(const std::string& model_id, const ModelConfig& config,
                                const LoadOptions& options = {});

  bool IsLoaded(std::string_view model_id) const;
  std::optional<ModelInfo> GetInfo(std::string_view model_id) const;  // counts no use
  RegistryStats GetStats() const;
  std::vector<std::string> ListModels() const;
  // False if neither loaded nor loading. Calls in progress finish first; the memory is free when
  // the last one ends. A load in flight is cancelled, and all who wait for it get
  // kFailedPrecondition at once.
  bool Unload(std::string_view model_id);
  // The same for every model, and drops foreign objects too.
  void ClearAll();

  const ModelLoader& loader() const;
  // For foreign objects, the limit and statistics. Unregistering a model here is an eviction: its
  // handles load it again.
  ModelRegistry& registry();

 private:
  ModelManager(std::shared_ptr<const ModelLoader> loader, std::shared_ptr<ManagerState> state);

  std::shared_ptr<const ModelLoader> loader_;
  std::shared_ptr<ManagerState> state_;
};

}  // namespace mdsa
