// Fake models and a loader that whoever drives a manager controls: for tests and benchmarks.
#pragma once

#include <atomic>
#include <cstdint>
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
