// For tests of the manager: a fixture around fake models.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "models/manager_state.h"
#include "support/fake_source.h"
#include "support/manual_clock.h"

namespace mdsa::test {

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
  // Bytes of a model by its name, which ends in a number: "a60".
  void SizesByName() {
    source_.bytes_of = [](const ModelConfig& config) {
      return std::stoull(config.model_name.substr(1));
    };
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

}  // namespace mdsa::test
