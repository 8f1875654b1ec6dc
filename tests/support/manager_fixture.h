// For tests of the manager: fake models, a loader that the test controls, and a fixture.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"
#include "models/manager_state.h"
#include "support/manual_clock.h"

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
  std::shared_ptr<MemoryAccount> account;
  std::atomic<int>& alive;
};

inline FakeModel& FakeOf(const ModelLease& lease) {
  return *const_cast<FakeModel*>(reinterpret_cast<const FakeModel*>(&*lease));
}

// A loader whose loads count, and wait or fail as the test says.
class FakeSource {
 public:
  using LoadFunction = std::function<Status(const ModelConfig&, const LoadOptions&)>;

  ModelSource source() {
    ModelSource source;
    source.needs = [this](const ModelConfig& config, int) -> Result<ModelNeeds> {
      if (before_needs) MDSA_TRY(before_needs(config));
      ModelNeeds needs;
      needs.resident_bytes = needs.peak_bytes = needs.allocated_bytes = bytes_of(config);
      needs.call_bytes = call_bytes;
      return needs;
    };
    source.load = [this](const ModelConfig& config, const LoadOptions& options,
                         std::shared_ptr<MemoryAccount> account) -> Result<std::shared_ptr<Model>> {
      ++loads;
      if (before_load) MDSA_TRY(before_load(config, options));
      auto fake = std::make_shared<FakeModel>(config.model_name, alive);
      fake->account = std::move(account);
      return std::shared_ptr<Model>(fake, reinterpret_cast<Model*>(fake.get()));
    };
    source.describe = [this](const Model& model) {
      ModelDescription description;
      description.family = "fake";
      ModelConfig config;
      config.model_name = reinterpret_cast<const FakeModel&>(model).name;
      ModelFacts facts;
      facts.memory_bytes = bytes_of(config) + measured_more;
      facts.call_bytes = call_bytes;
      facts.description = std::make_shared<const ModelDescription>(description);
      return facts;
    };
    return source;
  }

  std::function<std::uint64_t(const ModelConfig&)> bytes_of = [](const ModelConfig&) {
    return std::uint64_t{2'500'000};
  };
  std::uint64_t call_bytes = 0;
  std::uint64_t measured_more = 0;  // than was estimated
  std::function<Status(const ModelConfig&)> before_needs;
  LoadFunction before_load;
  std::atomic<int> loads = 0;
  std::atomic<int> alive = 0;
};

class ManagerFixture : public ::testing::Test {
 protected:
  // Not in the destructor: what sinks and loads use may be members of a test's own fixture.
  void TearDown() override {
    if (manager_) {
      manager_->Close();
      EXPECT_EQ(manager_->Validate(0), std::nullopt);
      for (const auto& device : manager_->Metrics().devices) EXPECT_EQ(device.reserved_bytes, 0u);
    }
    manager_.reset();
    EXPECT_EQ(source_.alive, 0);  // nothing is kept by anything but the manager
  }

  // Failures are not kept unless a test wants it.
  static ResidencyOptions Options(std::int64_t max_models) {
    ResidencyOptions options;
    options.max_models = max_models;
    options.retry_delay = std::chrono::nanoseconds(0);
    return options;
  }
  void Start(std::int64_t max_models) { Start(Options(max_models)); }
  void Start(const ResidencyOptions& options, std::optional<std::uint64_t> limit_bytes = {},
             Clock& clock = Clock::Steady()) {
    manager_ =
        ManagerState::Create({options, limit_bytes, nullptr, source_.source(), &clock}).value();
  }
  Result<ModelHandle> Get(const std::string& id, const RequestOptions& options = {}) {
    const ModelConfig config = ModelConfig::ForTier3(id);
    return manager_->GetOrLoad(id, &config, options);
  }
  Result<ModelLease> Lease(const std::string& id, const RequestOptions& options = {}) {
    const ModelConfig config = ModelConfig::ForTier3(id);
    return manager_->Lease(id, &config, options);
  }
  // Whether it was there.
  bool Unload(const std::string& id, const UnloadOptions& options = {}) {
    const auto result = manager_->Unload(id, options);
    EXPECT_TRUE(result) << result.error().ToString();
    return result && result->known;
  }
  static RequestOptions AtOnce() {
    RequestOptions options;
    options.wait_for_memory = false;
    return options;
  }
  // Returns once so many callers share the load of that id.
  void AwaitWaiting(const std::string& id, int callers) {
    while (manager_->CallersWaitingFor(id) != callers) std::this_thread::yield();
  }
  void AwaitState(const std::string& id, SlotState state) {
    while (manager_->StateOf(id) != state) std::this_thread::yield();
  }
  // Returns once what a load in the background no longer needs is freed.
  void AwaitAlive(int models) {
    while (source_.alive != models) std::this_thread::yield();
  }
  std::int64_t Uses(const std::string& id) {
    const auto info = manager_->Peek(id);
    return info ? info->use_count : -1;
  }

  ManualClock clock_;  // for tests that start the manager with it
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
