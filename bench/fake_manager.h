// A manager of fake models, whose loads take no time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "models/manager_state.h"
#include "support/fake_source.h"

namespace mdsa::bench {

// Thread-safe once it is set up.
class FakeManager {
 public:
  explicit FakeManager(std::int64_t max_models) {
    ResidencyOptions options;
    options.max_models = max_models;
    options.max_queue_wait = std::chrono::nanoseconds(0);
    state_ = ManagerState::Create({options, {}, nullptr, source.source()}).value();
  }
  ~FakeManager() { state_->Close(); }
  FakeManager(const FakeManager&) = delete;
  FakeManager& operator=(const FakeManager&) = delete;

  ManagerState* operator->() const { return state_.get(); }

  // As ModelManager::GetOrLoad does it.
  Result<ModelHandle> Get(const std::string& id, const ModelConfig& config) const {
    return state_->GetOrLoad(id, &config, {});
  }
  Result<ModelHandle> Get(const std::string& id) const {
    return Get(id, ModelConfig::ForTier3(id));
  }
  Result<ModelLease> Lease(const std::string& id) const {
    const ModelConfig config = ModelConfig::ForTier3(id);
    return state_->Lease(id, &config, {});
  }

  // Set before the first load.
  test::FakeSource source;

 private:
  std::shared_ptr<ManagerState> state_;
};

}  // namespace mdsa::bench
