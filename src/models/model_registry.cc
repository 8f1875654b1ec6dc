#include "mdsa/model_registry.h"

#include <utility>

#include "base/error.h"
#include "models/registry_impl.h"

namespace mdsa {
namespace {

Status CheckMaxModels(std::int64_t max_models) {
  if (max_models >= 1) return {};
  return Err(ErrorCode::kInvalidArgument, "max_models must be at least 1, not {}", max_models);
}

}  // namespace

Result<std::unique_ptr<ModelRegistry>> ModelRegistry::Create(std::int64_t max_models) {
  MDSA_TRY(CheckMaxModels(max_models));
  return std::unique_ptr<ModelRegistry>(new ModelRegistry(max_models));
}

ModelRegistry::ModelRegistry(std::int64_t max_models)
    : impl_(std::make_unique<RegistryImpl>(max_models)) {}

// While the registry is still whole, because destructors of objects may call it.
ModelRegistry::~ModelRegistry() { Clear(); }

Result<std::vector<std::string>> ModelRegistry::Register(std::string model_id, Entry entry) {
  MDSA_ASSIGN(RegistryImpl::Removed record, MakeRecord(std::move(model_id), std::move(entry)));
  RegistryImpl::Removed removed;
  return impl_->Register(record, removed);
}

std::optional<ModelInfo> ModelRegistry::Get(std::string_view model_id) {
  return impl_->Get(model_id);
}

std::optional<ModelInfo> ModelRegistry::Peek(std::string_view model_id) const {
  return impl_->Peek(model_id);
}

bool ModelRegistry::IsLoaded(std::string_view model_id) const { return impl_->IsLoaded(model_id); }

bool ModelRegistry::Unregister(std::string_view model_id) {
  RegistryImpl::Removed removed;
  return impl_->Unregister(model_id, removed);
}

void ModelRegistry::Clear() {
  RegistryImpl::Removed removed;
  impl_->Clear(removed);
}

std::vector<std::string> ModelRegistry::ListModels() const { return impl_->ListModels(); }

RegistryStats ModelRegistry::GetStats() const { return impl_->GetStats(); }

std::int64_t ModelRegistry::size() const { return impl_->size(); }

std::int64_t ModelRegistry::max_models() const { return impl_->max_models(); }

Status ModelRegistry::SetMaxModels(std::int64_t max_models) {
  MDSA_TRY(CheckMaxModels(max_models));
  impl_->SetMaxModels(max_models);
  return {};
}

}  // namespace mdsa
