#include "mdsa/model_registry.h"

#include <utility>

#include "base/error.h"
#include "models/manager_state.h"

namespace mdsa {

Result<std::unique_ptr<ModelRegistry>> ModelRegistry::Create(std::int64_t max_models) {
  ManagerState::Setup setup;
  setup.options.max_models = max_models;
  MDSA_ASSIGN(auto state, ManagerState::Create(std::move(setup)));
  return std::unique_ptr<ModelRegistry>(new ModelRegistry(std::move(state), true));
}

// While the registry is still whole, because destructors of objects may call it.
ModelRegistry::~ModelRegistry() {
  if (owns_state_) state_->Close();
}

Result<std::vector<std::string>> ModelRegistry::Register(std::string model_id, Entry entry) {
  return state_->Register(std::move(model_id), std::move(entry));
}

Status ModelRegistry::MakeRoom(const std::string& model_id, const Room& room) {
  return state_->MakeRoom(model_id, room);
}

std::optional<ModelInfo> ModelRegistry::Get(std::string_view model_id) {
  return state_->Get(model_id);
}

std::optional<ModelInfo> ModelRegistry::Peek(std::string_view model_id) const {
  return state_->Peek(model_id);
}

Result<ModelLease> ModelRegistry::Lease(std::string_view model_id) {
  return state_->LeaseRegistered(model_id);
}

bool ModelRegistry::IsLoaded(std::string_view model_id) const { return state_->IsLoaded(model_id); }
bool ModelRegistry::Unregister(std::string_view model_id) { return state_->Unregister(model_id); }
void ModelRegistry::Clear() { state_->ClearAll(); }
std::vector<std::string> ModelRegistry::ListModels() const { return state_->ListModels(); }
RegistryStats ModelRegistry::GetStats() const { return state_->GetStats(); }
std::int64_t ModelRegistry::size() const { return state_->size(); }
std::int64_t ModelRegistry::max_models() const { return state_->max_models(); }

Status ModelRegistry::SetMaxModels(std::int64_t max_models) {
  return state_->SetMaxModels(max_models);
}

}  // namespace mdsa
