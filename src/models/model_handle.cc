#include <utility>

#include "base/error.h"
#include "models/manager_state.h"

namespace mdsa {

Result<std::shared_ptr<const Model>> ModelHandle::Acquire(std::stop_token stop) const {
  const std::shared_ptr<ManagerState> manager = manager_.lock();
  if (manager == nullptr) {
    return Err(ErrorCode::kFailedPrecondition, "the manager of model '{}' is gone", model_id_);
  }
  return manager->Acquire(model_id_, generation_, std::move(stop));
}

Result<ForwardOutput> ModelHandle::Forward(const ForwardInput& input) const {
  MDSA_ASSIGN(const auto model, Acquire());
  return model->Forward(input);
}

Result<Tensor> ModelHandle::Embed(std::span<const std::string> texts) const {
  MDSA_ASSIGN(const auto model, Acquire());
  return model->Embed(texts);
}

Result<Tensor> ModelHandle::Classify(std::span<const std::string> texts) const {
  MDSA_ASSIGN(const auto model, Acquire());
  return model->Classify(texts);
}

Result<GenerationResult> ModelHandle::Generate(std::span<const TokenId> prompt,
                                               const GenerationOptions& options,
                                               const TextSink& on_text, const TokenSink& on_token,
                                               std::stop_token stop) const {
  MDSA_ASSIGN(const auto model, Acquire(stop));
  return model->Generate(prompt, options, on_text, on_token, std::move(stop));
}

Result<std::vector<GenerationResult>> ModelHandle::GenerateBatch(
    std::span<const std::vector<TokenId>> prompts, const GenerationOptions& options,
    const BatchTokenSink& on_token, std::stop_token stop) const {
  MDSA_ASSIGN(const auto model, Acquire());
  return model->GenerateBatch(prompts, options, on_token, std::move(stop));
}

Result<GenerationResult> ModelHandle::GenerateText(std::string_view prompt,
                                                   const GenerationOptions& options,
                                                   const TextSink& on_text, bool add_special_tokens,
                                                   std::stop_token stop) const {
  MDSA_ASSIGN(const auto model, Acquire(stop));
  return model->GenerateText(prompt, options, on_text, add_special_tokens, std::move(stop));
}

Result<GenerationResult> ModelHandle::Chat(std::span<const ChatMessage> messages,
                                           const GenerationOptions& options,
                                           const TextSink& on_text, std::stop_token stop) const {
  MDSA_ASSIGN(const auto model, Acquire(stop));
  return model->Chat(messages, options, on_text, std::move(stop));
}

}  // namespace mdsa
