// For tests of the manager: fake models, a loader that the test controls, and a fixture.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"
#include "models/manager_state.h"

namespace mdsa::test {

// Stands for a loaded model: the manager keeps and counts it, and never looks inside.
struct FakeModel {
  FakeModel(std::string its_name, std::atomic<int>& alive_count)
      : name(std::move(its_name)), alive(alive_count) {
    ++alive;
  }
  ~FakeModel() {
    if (on_destroy) on_destroy();
    --alive;
  }
  FakeModel(const FakeModel&) = delete;
  FakeModel& operator=(const FakeModel&) = delete;

  std::string name;
  std::function<void()> on_destroy;
  std::atomic<int>& alive;
};

inline FakeModel& FakeOf(const std::shared_ptr<const Model>& model) {
  return *const_cast<FakeModel*>(reinterpret_cast<const FakeModel*>(model.get()));
}

// A loader whose loads count, and wait or fail as the test says.
class FakeSource {
 public:
  using LoadFunction = std::function<Status(const ModelConfig&, const LoadOptions&)>;

  ModelSource source() {
    ModelSource source;
    source.load = [this](const ModelConfig& config,
                         const LoadOptions& options) -> Result<std::shared_ptr<Model>> {
      ++loads;
      if (before_load) MDSA_TRY(before_load(config, options));
      auto fake = std::make_shared<FakeModel>(config.model_name, alive);
      return std::shared_ptr<Model>(fake, reinterpret_cast<Model*>(fake.get()));
    };
    source.describe = [](const Model&) {
      ModelDescription description;
      description.family = "fake";
      return ModelFacts{2'500'000, nullptr, std::make_shared<const ModelDescription>(description)};
    };
    return source;
  }

  LoadFunction before_load;
  std::atomic<int> loads = 0;
  std::atomic<int> alive = 0;
};

class ManagerFixture : public ::testing::Test {
 protected:
  ~ManagerFixture() override {
    if (manager_) manager_->Close();
    manager_.reset();
    EXPECT_EQ(source_.alive, 0);  // nothing is kept by anything but the manager
  }

  void Start(std::int64_t max_models) {
    manager_ = ManagerState::Create(max_models, source_.source()).value();
  }
  Result<ModelHandle> Get(const std::string& id, const LoadOptions& options = {}) {
    return manager_->GetOrLoad(id, ModelConfig::ForTier3(id), options);
  }
  // Returns once so many callers share the load of that id.
  void AwaitWaiting(const std::string& id, int callers) {
    while (manager_->CallersWaitingFor(id) != callers) std::this_thread::yield();
  }
  // Returns once what a load in the background no longer needs is freed.
  void AwaitAlive(int models) {
    while (source_.alive != models) std::this_thread::yield();
  }
  std::int64_t Uses(const std::string& id) {
    const auto info = manager_->registry().Peek(id);
    return info ? info->use_count : -1;
  }

  FakeSource source_;
  std::shared_ptr<ManagerState> manager_;
};

// Returns when the load is told to stop.
inline void AwaitStop(const std::stop_token& stop) {
  while (!stop.stop_requested()) std::this_thread::yield();
}

// Lets a test hold a load inside the loader until others have joined it. A test whose callers have
// all left closes the manager before its gate goes out of scope.
class Gate {
 public:
  void Wait() {
    entered_ = true;
    entered_.notify_all();
    open_.wait(false);
  }
  void AwaitEntered() { entered_.wait(false); }
  void Open() {
    open_ = true;
    open_.notify_all();
  }

 private:
  std::atomic<bool> entered_ = false;
  std::atomic<bool> open_ = false;
};

}  // namespace mdsa::test
