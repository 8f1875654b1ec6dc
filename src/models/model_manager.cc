#include "mdsa/model_manager.h"

#include <utility>

#include "base/error.h"
#include "models/manager_state.h"

namespace mdsa {
namespace {

ModelFacts Describe(const Model& model) {
  return {model.memory_bytes(), model.tokenizer(),
          std::make_shared<const ModelDescription>(model.description())};
}

}  // namespace

Result<std::unique_ptr<ModelManager>> ModelManager::Create(const Options& options) {
  auto loader = std::make_shared<const ModelLoader>(options.cache_dir);
  ModelSource source;
  source.load = [loader](const ModelConfig& config, const LoadOptions& load_options) {
    return loader->Load(config, load_options);
  };
  source.describe = Describe;
  MDSA_ASSIGN(auto state, ManagerState::Create(options.max_models, std::move(source)));
  return std::unique_ptr<ModelManager>(new ModelManager(std::move(loader), std::move(state)));
}

Result<std::unique_ptr<ModelManager>> ModelManager::Create(std::int64_t max_models) {
  return Create(Options{max_models, {}});
}

ModelManager::ModelManager(std::shared_ptr<const ModelLoader> loader,
                           std::shared_ptr<ManagerState> state)
    : loader_(std::move(loader)), state_(std::move(state)) {}

ModelManager::~ModelManager() { state_->Close(); }

Result<ModelHandle> ModelManager::GetOrLoad(const std::string& model_id, const ModelConfig& config,
                                            const LoadOptions& options) {
  return state_->GetOrLoad(model_id, config, options);
}

bool ModelManager::IsLoaded(std::string_view model_id) const {
  return state_->registry().IsLoaded(model_id);
}

std::optional<ModelInfo> ModelManager::GetInfo(std::string_view model_id) const {
  return state_->registry().Peek(model_id);
}

RegistryStats ModelManager::GetStats() const { return state_->registry().GetStats(); }

std::vector<std::string> ModelManager::ListModels() const {
  return state_->registry().ListModels();
}

bool ModelManager::Unload(std::string_view model_id) { return state_->Unload(model_id); }

void ModelManager::ClearAll() { state_->ClearAll(); }

const ModelLoader& ModelManager::loader() const { return *loader_; }

ModelRegistry& ModelManager::registry() { return state_->registry(); }

}  // namespace mdsa
