// Using a managed model: a handle to keep, and a lease to hold while it is used.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/model.h"
#include "mdsa/model_loader.h"
#include "mdsa/result.h"

namespace mdsa {

class LeaseAccess;
class ManagerState;
struct HandleBody;

// How a request for a model waits. A plain value.
struct RequestOptions : LoadOptions {
  RequestOptions() = default;
  RequestOptions(const LoadOptions& load)  // NOLINT(google-explicit-constructor): it is one
      : LoadOptions(load) {}

  // The longest wait altogether; nullopt: for a load as long as it takes, for memory as long as
  // ResidencyOptions::wait_timeout. Past it: kDeadlineExceeded.
  std::optional<std::chrono::nanoseconds> timeout;
  // False: when the memory is in use, kResourceExhausted at once, naming who uses it.
  bool wait_for_memory = true;
};

// The calls of a model, for whatever can take a lease: each takes one for its own duration, and
// ends with kCancelled when the model is unloaded by force meanwhile. As in Model otherwise; `stop`
// also ends the wait for a model that was evicted.
template <typename Holder>
class ModelCalls {
 public:
  Result<ForwardOutput> Forward(const ForwardInput& input, std::stop_token stop = {}) const;
  Result<Tensor> Embed(std::span<const std::string> texts, std::stop_token stop = {}) const;
  Result<Tensor> Classify(std::span<const std::string> texts, std::stop_token stop = {}) const;
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

 protected:
  ModelCalls() = default;
};

// While one lives, its model stays in memory: no path evicts or frees it. For the time of a
// request; whoever keeps one keeps the memory from everybody else. Move-only; a moved-from one is
// empty, and nothing but bool, assignment and destruction may be asked of it. Thread-compatible,
// and its calls may run in any number of threads. It may outlive the manager.
class ModelLease : public ModelCalls<ModelLease> {
 public:
  ModelLease(ModelLease&& other) noexcept = default;
  ModelLease& operator=(ModelLease&& other) noexcept;
  ~ModelLease() { Release(); }

  explicit operator bool() const { return body_ != nullptr; }
  const std::string& model_id() const;
  // Not of a temporary: the model could be gone when the reference is used. `has_model` is false
  // for an object of the application.
  bool has_model() const;
  const Model& operator*() const&;
  const Model* operator->() const& { return &**this; }
  const Model& operator*() const&& = delete;
  const Model* operator->() const&& = delete;
  // The application's object and its tokenizer; null for a model.
  const std::shared_ptr<void>& foreign() const&;
  const std::shared_ptr<void>& foreign_tokenizer() const&;
  const std::shared_ptr<const Tokenizer>& tokenizer() const;

  // Requested when the model is unloaded by force: the work shall end.
  std::stop_token cancelled() const;
  // Gives it back before the end of its life.
  void Release();

 private:
  friend class ManagerState;
  friend class LeaseAccess;
  ModelLease(std::shared_ptr<ManagerState> manager, std::shared_ptr<const HandleBody> body)
      : manager_(std::move(manager)), body_(std::move(body)) {}

  std::shared_ptr<ManagerState> manager_;
  std::shared_ptr<const HandleBody> body_;
};

// What an application keeps: one pointer, cheap to copy, and no weights held in place. Each call
// counts as a use and leases the model for its own duration; a model that was evicted meanwhile is
// loaded again, once for all who need it. After an explicit Unload or ClearAll, or when the manager
// is gone, calls return kFailedPrecondition. Thread-safe.
class ModelHandle : public ModelCalls<ModelHandle> {
 public:
  const std::string& model_id() const;
  // Stays usable while the model is evicted, as the handle keeps it. Null if the checkpoint has
  // none.
  const std::shared_ptr<const Tokenizer>& tokenizer() const;
  const ModelDescription& description() const;
  // What the model takes while it is in memory, as in Model.
  std::uint64_t memory_bytes() const;

  // For several calls that belong together.
  Result<ModelLease> Lease(const RequestOptions& options = {}) const;

 private:
  friend class EntryRef;
  friend class ManagerState;
  friend class LeaseAccess;
  explicit ModelHandle(std::shared_ptr<const HandleBody> body) : body_(std::move(body)) {}

  std::shared_ptr<const HandleBody> body_;
};

// Stands for one entry of a manager, model or object, for who asks for it again and again: cheaper
// than looking it up. Keeps no weights in memory, but the tokenizer of a model. Thread-safe.
class EntryRef {
 public:
  explicit EntryRef(const ModelHandle& handle) : body_(handle.body_) {}

  const std::string& model_id() const;
  // False once the entry was evicted or unloaded. An evicted model may become ready again.
  bool IsReady() const;
  // Counts a use, as a request that finds the entry does. False unless it is ready.
  bool Use() const;
  // The same with a lease; nullopt unless it is ready.
  std::optional<ModelLease> Lease() const;

 private:
  friend class ManagerState;
  explicit EntryRef(std::shared_ptr<const HandleBody> body) : body_(std::move(body)) {}

  std::shared_ptr<const HandleBody> body_;
};

extern template class ModelCalls<ModelLease>;
extern template class ModelCalls<ModelHandle>;

}  // namespace mdsa
