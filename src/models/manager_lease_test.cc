// A model with a live lease stays, on every path that could take it away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <concepts>
#include <string>
#include <thread>
#include <type_traits>

#include "base/error.h"
#include "models/manager_state.h"
#include "support/manager_fixture.h"
#include "support/manual_clock.h"

namespace mdsa {
namespace {

using std::chrono::seconds;
using test::FakeOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Misuse that must not compile: a copy, and a model that would outlive its lease.
template <typename Lease>
concept CanDereferenceTemporary = requires { *std::declval<Lease&&>(); };
template <typename Lease>
concept CanArrowTemporary = requires { std::declval<Lease&&>().operator->(); };
template <typename Lease>
concept CanDereference = requires(const Lease& lease) { *lease; };
static_assert(!std::is_copy_constructible_v<ModelLease> && !std::is_copy_assignable_v<ModelLease>);
static_assert(!std::is_default_constructible_v<ModelLease>);
static_assert(std::is_nothrow_move_constructible_v<ModelLease>);
static_assert(!CanDereferenceTemporary<ModelLease> && !CanArrowTemporary<ModelLease>);
static_assert(CanDereference<ModelLease>);
static_assert(!std::is_convertible_v<ModelLease, bool>);

class ManagerLeaseTest : public test::ManagerFixture {
 protected:
  static ModelRegistry::Entry Object(double memory_mb = 1.0) {
    ModelRegistry::Entry entry;
    entry.foreign = std::make_shared<int>(7);
    entry.memory_mb = memory_mb;
    return entry;
  }
  ModelSettings Pinned() {
    ModelSettings settings;
    settings.pinned = true;
    return settings;
  }
  test::ManualClock clock_;
};

TEST_F(ManagerLeaseTest, AMovedLeaseIsGivenBackOnce) {
  Start(1);
  auto first = Lease("a");
  ASSERT_TRUE(first);
  ModelLease second = *std::move(first);
  EXPECT_FALSE(*first);
  EXPECT_TRUE(second);
  EXPECT_EQ(manager_->Peek("a")->leases, 1);
  auto other = Lease("a");
  EXPECT_EQ(manager_->Peek("a")->leases, 2);
  second = *std::move(other);
  EXPECT_EQ(manager_->Peek("a")->leases, 1);
  second.Release();
  second.Release();
  EXPECT_EQ(manager_->Peek("a")->leases, 0);
}

TEST_F(ManagerLeaseTest, NoPathTakesALeasedModelAway) {
  ResidencyOptions options = Options(1);
  options.time_to_live = seconds(1);
  Start(options, 5'000'000, clock_);
  auto lease = Lease("a");
  ASSERT_TRUE(lease);
  // By count and bytes, for a model and for an object; by its time to live; through the registry.
  EXPECT_EQ(Get("b", AtOnce()).error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(manager_->Register("o", Object()).error().code(), ErrorCode::kResourceExhausted);
  ASSERT_TRUE(manager_->SetMaxModels(5));
  EXPECT_EQ(manager_->Register("o", Object(3.0)).error().code(), ErrorCode::kResourceExhausted);
  clock_.Advance(seconds(100));
  EXPECT_EQ(FakeOf(*lease).name, "a");
  EXPECT_TRUE(manager_->Unregister("a"));
  EXPECT_EQ(source_.alive, 1);
  EXPECT_EQ(manager_->StateOf("a"), SlotState::kDraining);
  lease->Release();
  EXPECT_EQ(source_.alive, 0);
}

TEST_F(ManagerLeaseTest, ClearingAndClosingLeaveLeasedModelsToTheirLastLease) {
  for (const bool close : {false, true}) {
    Start(2);
    auto lease = Lease("a");
    ASSERT_TRUE(lease && Get("b"));
    if (close) {
      manager_->Close();
    } else {
      manager_->ClearAll();
    }
    EXPECT_EQ(source_.alive, 1);
    EXPECT_EQ(FakeOf(*lease).name, "a");
    EXPECT_EQ(manager_->Validate(0), std::nullopt);
    lease->Release();
    EXPECT_EQ(source_.alive, 0);
    manager_->Close();
  }
}

TEST_F(ManagerLeaseTest, AnUnloadWaitsForTheCallsInProgressAndTellsWhatItFreed) {
  Start(2);
  auto lease = Lease("a");
  ASSERT_TRUE(lease);
  std::atomic<bool> unloaded = false;
  std::jthread unloading([&] {
    const auto result = manager_->Unload("a", {});
    ASSERT_TRUE(result);
    EXPECT_EQ(result->freed_bytes, 2'500'000u);
    unloaded = true;
  });
  // From now on the id is free for another load.
  while (manager_->IsLoaded("a")) std::this_thread::yield();
  EXPECT_FALSE(unloaded);
  EXPECT_EQ(FakeOf(*lease).name, "a");
  EXPECT_TRUE(Get("a"));
  EXPECT_EQ(source_.alive, 2);
  EXPECT_EQ(manager_->Validate(0), std::nullopt);  // both are in the ledger
  EXPECT_FALSE(unloaded);
  lease->Release();
  unloading.join();
  EXPECT_EQ(source_.alive, 1);
}

TEST_F(ManagerLeaseTest, AnUnloadThatTimesOutSaysSoAndTheMemoryFollows) {
  Start(Options(2), {}, clock_);
  auto lease = Lease("a");
  ASSERT_TRUE(lease);
  UnloadOptions options;
  options.timeout = seconds(3);
  std::jthread unloading([&] {
    const auto result = manager_->Unload("a", options);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::kDeadlineExceeded);
    EXPECT_THAT(result.error().ToString(), HasSubstr("1 still run"));
  });
  while (manager_->IsLoaded("a")) std::this_thread::yield();
  while (clock_.waiting() == 0) std::this_thread::yield();
  clock_.Advance(seconds(3));
  unloading.join();
  EXPECT_EQ(source_.alive, 1);
  lease->Release();
  EXPECT_EQ(source_.alive, 0);
  EXPECT_EQ(manager_->Metrics().timeouts, 1u);
}

TEST_F(ManagerLeaseTest, AForcedUnloadTellsTheCallsInProgressToStop) {
  Start(2);
  auto lease = Lease("a");
  auto untouched = Lease("b");
  ASSERT_TRUE(lease && untouched);
  UnloadOptions options;
  options.force = true;
  options.timeout = std::chrono::nanoseconds(0);
  EXPECT_EQ(manager_->Unload("a", options).error().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(lease->cancelled().stop_requested());
  EXPECT_FALSE(untouched->cancelled().stop_requested());
  lease->Release();
  // The next life of the model is not cancelled.
  const auto again = Lease("a");
  EXPECT_FALSE(again->cancelled().stop_requested());
}

TEST_F(ManagerLeaseTest, AStoppedUnloadReturns) {
  Start(2);
  auto lease = Lease("a");
  ASSERT_TRUE(lease);
  std::stop_source stop;
  stop.request_stop();
  UnloadOptions options;
  options.stop = stop.get_token();
  EXPECT_EQ(manager_->Unload("a", options).error().code(), ErrorCode::kCancelled);
}

TEST_F(ManagerLeaseTest, APinnedModelIsEvictedByNothingAndUnloadedByForceOnly) {
  ResidencyOptions options = Options(1);
  options.time_to_live = seconds(1);
  options.max_queue_wait = seconds(0);
  Start(options, 5'000'000, clock_);
  ASSERT_TRUE(manager_->SetSettings("a", Pinned()));
  ASSERT_TRUE(Get("a"));
  const auto refused = Get("b");  // at once, although it may wait
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.error().ToString(), HasSubstr("'a' (2 MB, pinned)"));
  EXPECT_EQ(manager_->Register("o", Object()).error().code(), ErrorCode::kResourceExhausted);
  ASSERT_TRUE(manager_->SetMaxModels(5));
  EXPECT_EQ(manager_->Register("o", Object(3.0)).error().code(), ErrorCode::kResourceExhausted);
  clock_.Advance(seconds(100));
  EXPECT_TRUE(manager_->IsLoaded("a"));
  source_.before_load = [](const ModelConfig&, const LoadOptions&) -> Status {
    return Err(ErrorCode::kIo, "broken");
  };
  EXPECT_FALSE(Get("c"));
  EXPECT_TRUE(manager_->IsLoaded("a"));
  const auto unload = manager_->Unload("a", {});
  ASSERT_FALSE(unload);
  EXPECT_EQ(unload.error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(unload.error().ToString(), HasSubstr("pinned"));
  UnloadOptions force;
  force.force = true;
  EXPECT_TRUE(Unload("a", force));
  EXPECT_EQ(source_.alive, 0);
}

TEST_F(ManagerLeaseTest, APinOutlivesTheModelAndEndsWithItsSetting) {
  Start(1);
  ASSERT_TRUE(manager_->SetSettings("a", Pinned()));
  ASSERT_TRUE(Get("a"));
  UnloadOptions force;
  force.force = true;
  Unload("a", force);
  ASSERT_TRUE(Get("a"));
  EXPECT_FALSE(Get("b"));
  ASSERT_TRUE(manager_->SetSettings("a", {}));
  EXPECT_TRUE(Get("b"));
}

TEST_F(ManagerLeaseTest, ObjectsOfTheApplicationAreLeasedByTheSameRules) {
  Start(1);
  ASSERT_TRUE(manager_->Register("o", Object()));
  auto lease = manager_->LeaseRegistered("o");
  ASSERT_TRUE(lease);
  EXPECT_EQ(*std::static_pointer_cast<int>(lease->foreign()), 7);
  EXPECT_FALSE(lease->has_model());
  EXPECT_EQ(lease->Embed({}).error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_EQ(manager_->Register("p", Object()).error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(manager_->LeaseRegistered("nobody").error().code(), ErrorCode::kNotFound);
  lease->Release();
  EXPECT_THAT(manager_->Register("p", Object()).value(), ElementsAre("o"));
}

TEST_F(ManagerLeaseTest, LeasesCountAsUsesAndTheirEndIsTheLastUse) {
  Start(Options(2), {}, clock_);
  ASSERT_TRUE(Get("a"));
  auto lease = Lease("a");
  ASSERT_TRUE(Get("b"));
  EXPECT_EQ(Uses("a"), 2);
  lease->Release();  // used longer than b
  EXPECT_EQ(Uses("a"), 2);
  ASSERT_TRUE(Get("c"));
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a", "c"));
}

TEST_F(ManagerLeaseTest, ReadingStatisticsChangesNeitherRecencyNorExpiry) {
  ResidencyOptions options = Options(2);
  options.time_to_live = seconds(10);
  Start(options, {}, clock_);
  ASSERT_TRUE(Get("a") && Get("b"));
  const ModelConfig config = ModelConfig::ForTier3("c");
  for (int i = 0; i < 100; ++i) {
    (void)manager_->Peek("a");
    (void)manager_->GetStats();
    (void)manager_->Metrics();
    (void)manager_->ListModels();
    (void)manager_->IsLoaded("a");
    (void)manager_->Explain("a", nullptr);
    (void)manager_->Explain("c", &config);
  }
  ASSERT_TRUE(Get("c"));
  EXPECT_THAT(manager_->ListModels(), ElementsAre("b", "c"));
  clock_.Advance(seconds(11));
  AwaitAlive(0);
  EXPECT_THAT(manager_->ListModels(), IsEmpty());
}

}  // namespace
}  // namespace mdsa
