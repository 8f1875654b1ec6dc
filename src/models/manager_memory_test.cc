// The ledger under loads that go wrong at every step, under estimates that are off, and under
// calls.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "models/manager_state.h"
#include "support/manager_fixture.h"

namespace mdsa {
namespace {

using test::FakeOf;
using test::Gate;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ManagerMemoryTest : public test::ManagerFixture {
 protected:
  ManagerMemoryTest() {
    // Bytes of a model by its name, which ends in a number: "a60".
    source_.bytes_of = [](const ModelConfig& config) {
      return std::stoull(config.model_name.substr(1));
    };
  }
  std::uint64_t Reserved() { return manager_->Metrics().devices.front().reserved_bytes; }
  void ExpectUntouched(std::uint64_t reserved) {
    EXPECT_EQ(manager_->Validate(0), std::nullopt);
    EXPECT_EQ(Reserved(), reserved);
    EXPECT_THAT(manager_->ListModels(), ElementsAre("k20"));
    EXPECT_EQ(source_.alive, 1);
  }
};

TEST_F(ManagerMemoryTest, AModelHoldsWhatWasMeasuredAndRoomForACall) {
  source_.call_bytes = 5;
  source_.measured_more = 2;
  Start(Options(5), 100);
  ASSERT_TRUE(Get("a60"));
  EXPECT_EQ(Reserved(), 67u);
  const ResidencyMetrics metrics = manager_->Metrics();
  ASSERT_EQ(metrics.models.size(), 1u);
  EXPECT_EQ(metrics.models[0].estimated_bytes, 60u);
  EXPECT_EQ(metrics.models[0].measured_bytes, 62u);
  EXPECT_NEAR(*metrics.models[0].estimate_error(), -2.0 / 62.0, 1e-9);
  Unload("a60");
  EXPECT_EQ(Reserved(), 0u);
}

// Every way a load can go wrong, at every step it has.
TEST_F(ManagerMemoryTest, ALoadThatGoesWrongLeavesEverythingAsItWas) {
  Start(Options(5), 100);
  ASSERT_TRUE(Get("k20"));
  const std::uint64_t before = Reserved();
  const std::vector<std::function<Status()>> ways = {
      [] { return Status(Err(ErrorCode::kIo, "disk gone")); },
      []() -> Status { throw std::runtime_error("defect"); },
      []() -> Status { throw std::bad_alloc(); },
      []() -> Status { throw 7; },
      [] { return Status(Err(ErrorCode::kCancelled, "on its own account")); },
  };
  for (const auto& fail : ways) {
    source_.before_needs = [&](const ModelConfig&) { return fail(); };
    EXPECT_FALSE(Get("m50"));
    ExpectUntouched(before);
    source_.before_needs = nullptr;
    for (int failing_step = 0; failing_step < 3; ++failing_step) {
      source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
        for (int step = 0; step < 3; ++step) {
          if (step == failing_step) return fail();
          if (options.on_progress) options.on_progress({"convert", 1, 3});
        }
        return {};
      };
      EXPECT_FALSE(Get("m50"));
      ExpectUntouched(before);
    }
    source_.before_load = nullptr;
  }
  EXPECT_TRUE(Get("m50"));
}

TEST_F(ManagerMemoryTest, ALoadCancelledAtEveryStepLeavesEverythingAsItWas) {
  Start(Options(5), 100);
  ASSERT_TRUE(Get("k20"));
  const std::uint64_t before = Reserved();
  for (int cancelled_step = 0; cancelled_step < 4; ++cancelled_step) {
    std::stop_source stop;
    source_.before_needs = [&](const ModelConfig&) -> Status {
      if (cancelled_step == 0) stop.request_stop();
      return {};
    };
    // Finishes its work all the same in the last of the cases.
    source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
      for (int step = 1; step < 4; ++step) {
        if (step == cancelled_step) {
          stop.request_stop();
          test::AwaitStop(options.stop);
          if (step < 3) return Err(ErrorCode::kCancelled, "stopped");
        }
      }
      return {};
    };
    RequestOptions options;
    options.stop = stop.get_token();
    EXPECT_EQ(Get("m50", options).error().code(), ErrorCode::kCancelled);
    AwaitAlive(1);
    while (Reserved() != before) std::this_thread::yield();
    ExpectUntouched(before);
  }
}

TEST_F(ManagerMemoryTest, ALoaderThatReturnsGarbageIsAnError) {
  ModelSource source = source_.source();
  source.load = [](const ModelConfig&, const LoadOptions&,
                   std::shared_ptr<MemoryAccount>) -> Result<std::shared_ptr<Model>> {
    return std::shared_ptr<Model>();
  };
  manager_ = ManagerState::Create({Options(2), 100, nullptr, std::move(source)}).value();
  EXPECT_EQ(Get("m50").error().code(), ErrorCode::kInternal);
  EXPECT_EQ(Reserved(), 0u);
}

TEST_F(ManagerMemoryTest, AModelThatMeasuresMoreThanReservedTakesIdleRoomOrFails) {
  Start(Options(5), 100);
  ASSERT_TRUE(Get("k20") && Get("a30"));
  source_.measured_more = 35;
  EXPECT_TRUE(Get("b20"));  // 55 instead of 20: one of the others has to go after all
  EXPECT_EQ(manager_->Metrics().evictions[static_cast<std::size_t>(EvictionReason::kUnderestimate)],
            1u);
  EXPECT_LE(Reserved(), 100u);
  source_.measured_more = 200;
  const auto refused = Get("c10");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.error().ToString(), HasSubstr("more than was reserved"));
  EXPECT_EQ(manager_->Validate(0), std::nullopt);
  source_.measured_more = 0;
}

TEST_F(ManagerMemoryTest, CallsBeyondTheRoomOfTheirModelChargeTheLedger) {
  source_.call_bytes = 10;
  Start(Options(5), 100);
  const auto lease = Lease("a50");
  ASSERT_TRUE(lease);
  MemoryAccount& account = *FakeOf(*lease).account;
  EXPECT_EQ(Reserved(), 60u);
  ASSERT_TRUE(account.Charge(10, {}));
  EXPECT_EQ(Reserved(), 60u);  // what the model kept for it
  ASSERT_TRUE(account.Charge(25, {}));
  EXPECT_EQ(Reserved(), 85u);
  EXPECT_EQ(manager_->Validate(25), std::nullopt);
  account.Release(10);
  EXPECT_EQ(Reserved(), 75u);
  account.Release(25);
  EXPECT_EQ(Reserved(), 60u);
}

TEST_F(ManagerMemoryTest, ACallEvictsIdleModelsForItsMemory) {
  source_.call_bytes = 10;
  Start(Options(5), 100);
  ASSERT_TRUE(Get("k20"));
  const auto lease = Lease("a40");
  ASSERT_TRUE(lease);
  MemoryAccount& account = *FakeOf(*lease).account;
  ASSERT_TRUE(account.Charge(45, {}));
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a40"));
  account.Release(45);
}

TEST_F(ManagerMemoryTest, ACallThatCanNeverHaveItsMemoryIsRefusedAtOnce) {
  source_.call_bytes = 10;
  Start(Options(5), 100);
  const auto lease = Lease("a40");
  ASSERT_TRUE(lease);
  MemoryAccount& account = *FakeOf(*lease).account;
  const auto refused = account.Charge(61, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.error().ToString(), HasSubstr("Insufficient memory"));
  EXPECT_EQ(account.Charge(~std::uint64_t{0}, {}).error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(Reserved(), 50u);
}

TEST_F(ManagerMemoryTest, ACallWaitsForTheMemoryOfAnother) {
  source_.call_bytes = 10;
  Start(Options(5), 100);
  const auto lease = Lease("a40");
  ASSERT_TRUE(lease);
  MemoryAccount& account = *FakeOf(*lease).account;
  ASSERT_TRUE(account.Charge(40, {}));
  std::atomic<bool> granted = false;
  std::jthread second([&] {
    EXPECT_TRUE(account.Charge(40, {}));
    granted = true;
  });
  std::stop_source stop;
  std::jthread third([&] {
    EXPECT_EQ(account.Charge(40, stop.get_token()).error().code(), ErrorCode::kCancelled);
  });
  stop.request_stop();
  third.join();
  EXPECT_FALSE(granted);
  account.Release(40);
  second.join();
  account.Release(40);
}

// Two models in use whose calls need more than is left, and nothing that would end: an error and
// no wait for ever.
TEST_F(ManagerMemoryTest, CallsThatWaitForEachOtherGetAnError) {
  source_.call_bytes = 5;
  Start(Options(5), 100);
  const auto a = Lease("a40");
  const auto b = Lease("b40");
  ASSERT_TRUE(a && b);
  const auto refused = FakeOf(*a).account->Charge(30, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.error().ToString(), HasSubstr("'b40' (0 MB, in use by 1 call)"));
}

TEST_F(ManagerMemoryTest, ACallDoesNotQueueBehindALoadThatWaitsForIt) {
  source_.call_bytes = 10;
  Start(Options(5), 100);
  auto lease = Lease("a50");
  ASSERT_TRUE(lease);
  std::jthread load([&] { EXPECT_TRUE(Get("b60")); });
  AwaitWaiting("b60", 1);
  MemoryAccount& account = *FakeOf(*lease).account;
  ASSERT_TRUE(account.Charge(30, {}));
  account.Release(30);
  lease->Release();
  load.join();
}

TEST_F(ManagerMemoryTest, ParallelLoadsShareWhatTheMachineHasLeft) {
  ModelSource source = source_.source();
  source.machine_bytes = [] { return std::optional<std::uint64_t>(100); };
  manager_ = ManagerState::Create({Options(5), {}, nullptr, std::move(source)}).value();
  Gate gate;
  source_.before_load = [&](const ModelConfig& config, const LoadOptions&) -> Status {
    if (config.model_name == "a60") gate.Wait();
    return {};
  };
  std::jthread a([&] { EXPECT_TRUE(Get("a60")); });
  gate.AwaitEntered();
  // Each alone would fit into the free 100 bytes.
  EXPECT_EQ(Get("b60", AtOnce()).error().code(), ErrorCode::kResourceExhausted);
  EXPECT_TRUE(Get("c40"));
  gate.Open();
}

TEST_F(ManagerMemoryTest, AModelTooLargeForTheMachineIsRefused) {
  ModelSource source = source_.source();
  source.machine_bytes = [] { return std::optional<std::uint64_t>(100'000'000); };
  manager_ = ManagerState::Create({Options(5), {}, nullptr, std::move(source)}).value();
  EXPECT_THAT(Get("a200000000").error().ToString(),
              HasSubstr("needs about 200 MB, 100 MB are available"));
  EXPECT_EQ(source_.loads, 0);
}

}  // namespace
}  // namespace mdsa
