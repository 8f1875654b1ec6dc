// Many threads, few models, one place: nobody's call is aborted, nothing is loaded twice at a time,
// and the ledger equals a recount after every step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "models/manager_state.h"
#include "support/manager_fixture.h"

namespace mdsa {
namespace {

using test::FakeOf;

class ManagerStressTest : public test::ManagerFixture {
 protected:
  // Counts the loads under way of each model.
  class LoadCount {
   public:
    explicit LoadCount(std::atomic<int>& running) : running_(running) { EXPECT_EQ(++running_, 1); }
    ~LoadCount() { --running_; }

   private:
    std::atomic<int>& running_;
  };

  void CountLoads() {
    source_.before_load = [this](const ModelConfig& config, const LoadOptions&) -> Status {
      const LoadCount count(loading_[static_cast<std::size_t>(config.model_name[0] - 'a')]);
      std::this_thread::yield();
      return {};
    };
  }

  std::atomic<int> loading_[26] = {};
};

TEST_F(ManagerStressTest, SixteenThreadsShareThreeModelsAtACapOfOne) {
  ResidencyOptions options = Options(1);
  options.max_queue_wait = std::chrono::milliseconds(1);  // so that models in use are drained, too
  Start(options, 2'500'000);
  CountLoads();
  constexpr int kThreads = 16;
  constexpr int kSteps = 150;
  std::atomic<int> served = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::minstd_rand random(static_cast<unsigned>(t + 1));
        for (int step = 0; step < kSteps; ++step) {
          const std::string id(1, static_cast<char>('a' + random() % 3));
          Result<ModelLease> lease = [&]() -> Result<ModelLease> {
            if (random() % 2 == 0) return Lease(id);
            auto handle = Get(id);
            if (!handle) return std::unexpected(handle.error());
            return handle->Lease();
          }();
          ASSERT_TRUE(lease) << lease.error().ToString();
          EXPECT_EQ(FakeOf(*lease).name, id);
          EXPECT_EQ(source_.alive, 1);
          if (random() % 4 == 0) std::this_thread::yield();
          EXPECT_FALSE(lease->cancelled().stop_requested());
          EXPECT_EQ(FakeOf(*lease).name, id);
          lease->Release();
          EXPECT_EQ(manager_->Validate(0), std::nullopt);
          ++served;
        }
      });
    }
  }
  EXPECT_EQ(served, kThreads * kSteps);
  const ResidencyMetrics metrics = manager_->Metrics();
  EXPECT_EQ(metrics.load_failures, 0u);
  EXPECT_EQ(metrics.timeouts, 0u);
  EXPECT_EQ(metrics.devices[0].peak_bytes, 2'500'000u);
  EXPECT_EQ(metrics.loads, static_cast<std::uint64_t>(source_.loads.load()));
}

// Everything at once: leases, handles, cancelled and timed-out requests, unloads by force and not,
// pins, evictions by hand, objects, calls that charge memory, statistics.
TEST_F(ManagerStressTest, EverythingAtOnceKeepsTheLedgerTrue) {
  ResidencyOptions options = Options(3);
  options.max_queue_wait = std::chrono::milliseconds(1);
  options.wait_timeout = std::chrono::milliseconds(50);
  source_.call_bytes = 100'000;
  Start(options, 9'000'000);
  std::atomic<int> attempts = 0;
  source_.before_load = [&](const ModelConfig&, const LoadOptions& load) -> Status {
    if (++attempts % 7 == 0) return Err(ErrorCode::kIo, "disk gone");
    if (load.stop.stop_requested()) return Err(ErrorCode::kCancelled, "stopped");
    return {};
  };
  constexpr int kThreads = 8;
  constexpr int kSteps = 250;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(static_cast<unsigned>(t + 1));
      for (int step = 0; step < kSteps; ++step) {
        const std::string id(1, static_cast<char>('a' + random() % 5));
        RequestOptions request;
        request.wait_for_memory = random() % 2 == 0;
        if (random() % 4 == 0) request.timeout = std::chrono::microseconds(random() % 500);
        switch (random() % 10) {
          case 0: {
            UnloadOptions unload;
            unload.force = random() % 2 == 0;
            unload.timeout = std::chrono::milliseconds(random() % 2);
            (void)manager_->Unload(id, unload);
            break;
          }
          case 1: {
            ModelSettings settings;
            settings.pinned = random() % 4 == 0;
            EXPECT_TRUE(manager_->SetSettings(id, settings));
            break;
          }
          case 2:
            (void)manager_->Unregister(id);
            break;
          case 3: {
            ModelRegistry::Entry entry;
            entry.foreign = std::make_shared<int>(1);
            entry.memory_mb = 0.5;
            (void)manager_->Register(id, std::move(entry));
            break;
          }
          case 4:
            (void)manager_->Metrics();
            (void)manager_->GetStats();
            break;
          default: {
            auto lease = Lease(id, request);
            if (!lease) break;
            EXPECT_EQ(lease->model_id(), id);
            if (!lease->has_model()) break;
            EXPECT_EQ(FakeOf(*lease).name, id);
            MemoryAccount& account = *FakeOf(*lease).account;
            const std::uint64_t bytes = random() % 400'000;
            if (account.Charge(bytes, lease->cancelled())) {
              EXPECT_EQ(FakeOf(*lease).name, id);
              account.Release(bytes);
            }
          }
        }
      }
    });
  }
  threads.clear();
  for (const char* id : {"a", "b", "c", "d", "e"}) EXPECT_TRUE(manager_->SetSettings(id, {}));
  EXPECT_EQ(manager_->Validate(0), std::nullopt);
  EXPECT_LE(manager_->Metrics().devices[0].peak_bytes, 9'000'000u);
  manager_->Close();
}

TEST_F(ManagerStressTest, SettingsOfOneIdDoNotOverwriteEachOther) {
  Start(1);
  constexpr int kRounds = 500;
  for (int round = 0; round < kRounds; ++round) {
    ASSERT_TRUE(manager_->SetSettings("m", {}));
    {
      std::jthread pin([&] {
        EXPECT_TRUE(manager_->UpdateSettings("m", [](ModelSettings& s) { s.pinned = true; }));
      });
      EXPECT_TRUE(manager_->UpdateSettings(
          "m", [](ModelSettings& s) { s.time_to_live = ModelSettings::kForever; }));
    }
    const ModelSettings both = manager_->settings("m");
    ASSERT_TRUE(both.pinned && both.time_to_live);
  }
}

}  // namespace
}  // namespace mdsa
