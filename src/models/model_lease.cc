#include "mdsa/model_lease.h"

#include <concepts>
#include <utility>

#include "base/error.h"
#include "models/manager_state.h"
#include "models/running_calls.h"

namespace mdsa {
namespace {

bool EndedEarly(const GenerationResult& result) {
  return result.finish_reason == FinishReason::kCancelled;
}
bool EndedEarly(const std::vector<GenerationResult>& results) {
  for (const GenerationResult& result : results) {
    if (EndedEarly(result)) return true;
  }
  return false;
}
template <typename T>
bool EndedEarly(const T&) {
  return false;
}

template <typename T>
bool EndedEarly(const Result<T>& result) {
  return result ? EndedEarly(*result) : result.error().code() == ErrorCode::kCancelled;
}

// Runs `call` with a model and a stop token that both the caller and an unload by force can use.
template <typename Call>
auto RunOn(const ModelLease& lease, const ModelSlot& slot, std::stop_token stop, Call&& call)
    -> decltype(call(*lease, stop)) {
  using CallResult = decltype(call(*lease, stop));
  if (!lease.has_model()) {
    return Err(ErrorCode::kFailedPrecondition,
               "'{}' is an object that the application registered, not a model", slot.id());
  }
  const RunningCall running(slot);
  std::stop_source either;
  const auto pass_on = [&either] { either.request_stop(); };
  const std::stop_token cancelled = lease.cancelled();
  const std::stop_callback by_caller(std::move(stop), pass_on);
  const std::stop_callback by_force(cancelled, pass_on);
  CallResult result = call(*lease, either.get_token());
  if (cancelled.stop_requested() && EndedEarly(result)) {
    return Err(ErrorCode::kCancelled, "model '{}' was unloaded by force during the call",
               slot.id());
  }
  return result;
}

}  // namespace

// What ModelCalls needs from either holder.
class LeaseAccess {
 public:
  template <typename Call>
  static auto Run(const ModelLease& lease, std::stop_token stop, Call&& call) {
    MDSA_CHECK(lease);
    return RunOn(lease, *lease.body_->slot, std::move(stop), std::forward<Call>(call));
  }
  template <typename Call>
  static auto Run(const ModelHandle& handle, std::stop_token stop, Call&& call)
      -> decltype(Run(std::declval<const ModelLease&>(), stop, call)) {
    RequestOptions options;
    options.stop = stop;
    MDSA_ASSIGN(const ModelLease lease, handle.Lease(options));
    return Run(lease, std::move(stop), std::forward<Call>(call));
  }
};

ModelLease& ModelLease::operator=(ModelLease&& other) noexcept {
  ModelLease old(std::move(*this));
  manager_ = std::move(other.manager_);
  body_ = std::move(other.body_);
  return *this;
}

void ModelLease::Release() {
  if (body_ == nullptr) return;
  // Moved out first: the last reference to either may go with it.
  const std::shared_ptr<ManagerState> manager = std::move(manager_);
  const std::shared_ptr<const HandleBody> body = std::move(body_);
  manager->ReturnLease(*body->slot);
}

const std::string& ModelLease::model_id() const { return body_->slot->id(); }
bool ModelLease::has_model() const { return body_->slot->object().model != nullptr; }
const Model& ModelLease::operator*() const& { return *body_->slot->object().model; }
const std::shared_ptr<void>& ModelLease::foreign() const& { return body_->slot->object().foreign; }
const std::shared_ptr<void>& ModelLease::foreign_tokenizer() const& {
  return body_->slot->object().foreign_tokenizer;
}
const std::shared_ptr<const Tokenizer>& ModelLease::tokenizer() const {
  return body_->facts.tokenizer;
}
std::stop_token ModelLease::cancelled() const { return body_->slot->cancelled(); }

const std::string& ModelHandle::model_id() const { return body_->slot->id(); }
const std::shared_ptr<const Tokenizer>& ModelHandle::tokenizer() const {
  return body_->facts.tokenizer;
}
const ModelDescription& ModelHandle::description() const { return *body_->facts.description; }
std::uint64_t ModelHandle::memory_bytes() const { return body_->facts.memory_bytes; }

Result<ModelLease> ModelHandle::Lease(const RequestOptions& options) const {
  std::shared_ptr<ManagerState> manager = body_->manager.lock();
  if (manager == nullptr) {
    return Err(ErrorCode::kFailedPrecondition, "the manager of model '{}' is gone", model_id());
  }
  return ManagerState::LeaseAgain(std::move(manager), body_, options);
}

const std::string& EntryRef::model_id() const { return body_->slot->id(); }
bool EntryRef::IsReady() const { return body_->slot->state() == SlotState::kReady; }

bool EntryRef::Use() const {
  const std::shared_ptr<ManagerState> manager = body_->manager.lock();
  return manager != nullptr && manager->UseAgain(*body_->slot);
}

std::optional<ModelLease> EntryRef::Lease() const {
  std::shared_ptr<ManagerState> manager = body_->manager.lock();
  if (manager == nullptr) return std::nullopt;
  return ManagerState::TryLeaseAgain(std::move(manager), body_);
}

template <typename Holder>
Result<ForwardOutput> ModelCalls<Holder>::Forward(const ForwardInput& input,
                                                  std::stop_token stop) const {
  return LeaseAccess::Run(static_cast<const Holder&>(*this), std::move(stop),
                          [&](const Model& model, std::stop_token either) {
                            return model.Forward(input, std::move(either));
                          });
}

template <typename Holder>
Result<Tensor> ModelCalls<Holder>::Embed(std::span<const std::string> texts,
                                         std::stop_token stop) const {
  return LeaseAccess::Run(static_cast<const Holder&>(*this), std::move(stop),
                          [&](const Model& model, std::stop_token either) {
                            return model.Embed(texts, std::move(either));
                          });
}

template <typename Holder>
Result<Tensor> ModelCalls<Holder>::Classify(std::span<const std::string> texts,
                                            std::stop_token stop) const {
  return LeaseAccess::Run(static_cast<const Holder&>(*this), std::move(stop),
                          [&](const Model& model, std::stop_token either) {
                            return model.Classify(texts, std::move(either));
                          });
}

template <typename Holder>
Result<GenerationResult> ModelCalls<Holder>::Generate(std::span<const TokenId> prompt,
                                                      const GenerationOptions& options,
                                                      const TextSink& on_text,
                                                      const TokenSink& on_token,
                                                      std::stop_token stop) const {
  return LeaseAccess::Run(static_cast<const Holder&>(*this), std::move(stop),
                          [&](const Model& model, std::stop_token either) {
                            return model.Generate(prompt, options, on_text, on_token,
                                                  std::move(either));
                          });
}

template <typename Holder>
Result<std::vector<GenerationResult>> ModelCalls<Holder>::GenerateBatch(
    std::span<const std::vector<TokenId>> prompts, const GenerationOptions& options,
    const BatchTokenSink& on_token, std::stop_token stop) const {
  return LeaseAccess::Run(static_cast<const Holder&>(*this), std::move(stop),
                          [&](const Model& model, std::stop_token either) {
                            return model.GenerateBatch(prompts, options, on_token,
                                                       std::move(either));
                          });
}

template <typename Holder>
Result<GenerationResult> ModelCalls<Holder>::GenerateText(std::string_view prompt,
                                                          const GenerationOptions& options,
                                                          const TextSink& on_text,
                                                          bool add_special_tokens,
                                                          std::stop_token stop) const {
  return LeaseAccess::Run(static_cast<const Holder&>(*this), std::move(stop),
                          [&](const Model& model, std::stop_token either) {
                            return model.GenerateText(prompt, options, on_text, add_special_tokens,
                                                      std::move(either));
                          });
}

template <typename Holder>
Result<GenerationResult> ModelCalls<Holder>::Chat(std::span<const ChatMessage> messages,
                                                  const GenerationOptions& options,
                                                  const TextSink& on_text,
                                                  std::stop_token stop) const {
  return LeaseAccess::Run(static_cast<const Holder&>(*this), std::move(stop),
                          [&](const Model& model, std::stop_token either) {
                            return model.Chat(messages, options, on_text, std::move(either));
                          });
}

template class ModelCalls<ModelLease>;
template class ModelCalls<ModelHandle>;

}  // namespace mdsa
