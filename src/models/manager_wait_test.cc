// Waiting: for a load, for memory, for a turn; and when it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "models/manager_state.h"
#include "support/manager_fixture.h"
#include "support/manual_clock.h"

namespace mdsa {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::FakeOf;
using test::Gate;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ManagerWaitTest : public test::ManagerFixture {
 protected:
  static RequestOptions Within(std::chrono::nanoseconds timeout) {
    RequestOptions options;
    options.timeout = timeout;
    return options;
  }
  // Bytes of a model by its name, which ends in a number: "a60".
  void SizesByName() {
    source_.bytes_of = [](const ModelConfig& config) {
      return std::stoull(config.model_name.substr(1));
    };
  }
  test::ManualClock clock_;
};

TEST_F(ManagerWaitTest, EachCallerHasADeadlineOfItsOwn) {
  Start(Options(2), {}, clock_);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    gate.Wait();
    return {};
  };
  std::jthread patient([&] { EXPECT_TRUE(Get("m")); });
  std::jthread hasty([&] {
    const auto handle = Get("m", Within(seconds(1)));
    ASSERT_FALSE(handle);
    EXPECT_EQ(handle.error().code(), ErrorCode::kDeadlineExceeded);
    EXPECT_THAT(handle.error().ToString(), HasSubstr("load of 'm'"));
  });
  AwaitWaiting("m", 2);
  while (clock_.waiting() < 2) std::this_thread::yield();
  clock_.Advance(seconds(1));
  hasty.join();
  EXPECT_EQ(manager_->CallersWaitingFor("m"), 1);
  gate.Open();
  patient.join();
  EXPECT_EQ(source_.loads, 1);
}

TEST_F(ManagerWaitTest, TheLastDeadlineCancelsTheLoad) {
  Start(Options(2), {}, clock_);
  std::atomic<bool> cancelled = false;
  Gate gate;
  gate.Open();
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    gate.Wait();
    test::AwaitStop(options.stop);
    cancelled = true;
    return Err(ErrorCode::kCancelled, "stopped");
  };
  std::jthread caller([&] {
    EXPECT_EQ(Get("m", Within(seconds(1))).error().code(), ErrorCode::kDeadlineExceeded);
  });
  gate.AwaitEntered();
  while (clock_.waiting() == 0) std::this_thread::yield();
  clock_.Advance(seconds(1));
  caller.join();
  manager_->Close();
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(manager_->Metrics().loads_cancelled, 1u);
}

TEST_F(ManagerWaitTest, AFailureIsAnsweredAtOnceUntilItsBackOffHasPassed) {
  ResidencyOptions options = Options(2);
  options.retry_delay = milliseconds(500);
  Start(options, {}, clock_);
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    return Err(ErrorCode::kInvalidFormat, "damaged file");
  };
  EXPECT_EQ(Get("m").error().ToString(), "damaged file");
  for (const auto& [wait, loads] : {std::pair(milliseconds(0), 1), std::pair(milliseconds(499), 1),
                                    std::pair(milliseconds(1), 2), std::pair(milliseconds(999), 2),
                                    std::pair(milliseconds(1), 3)}) {
    clock_.Advance(wait);
    const auto error = Get("m").error();
    EXPECT_EQ(error.code(), ErrorCode::kInvalidFormat);
    EXPECT_THAT(error.ToString(), HasSubstr("damaged file"));
    EXPECT_EQ(source_.loads, loads) << wait.count();
  }
  EXPECT_THAT(Get("m").error().ToString(), HasSubstr("is not repeated for another 2.0 s"));
  EXPECT_EQ(manager_->Metrics().load_failures, 3u);

  // Another configuration is another load, and so is one after an unload.
  ModelConfig other = ModelConfig::ForTier3("m");
  other.quantization = QuantizationType::kInt8;
  EXPECT_EQ(manager_->GetOrLoad("m", &other, {}).error().ToString(), "damaged file");
  EXPECT_EQ(source_.loads, 4);
  Unload("m");
  source_.before_load = nullptr;
  EXPECT_TRUE(manager_->GetOrLoad("m", &other, {}));
}

TEST_F(ManagerWaitTest, ACheckpointThatCannotBeDescribedBacksOffToo) {
  ResidencyOptions options = Options(2);
  options.retry_delay = seconds(1);
  Start(options, {}, clock_);
  int asked = 0;
  source_.before_needs = [&](const ModelConfig&) -> Status {
    ++asked;
    return Err(ErrorCode::kNotFound, "no such folder");
  };
  EXPECT_FALSE(Get("m"));
  EXPECT_FALSE(Get("m"));
  EXPECT_EQ(asked, 1);
  clock_.Advance(seconds(1));
  source_.before_needs = nullptr;
  EXPECT_TRUE(Get("m"));
}

TEST_F(ManagerWaitTest, ALoadWaitsForTheCallThatIsInItsWay) {
  Start(1);
  auto a = Lease("a");
  ASSERT_TRUE(a);
  std::jthread waiting([&] { EXPECT_TRUE(Get("b")); });
  AwaitWaiting("b", 1);
  EXPECT_EQ(FakeOf(*a).name, "a");
  EXPECT_EQ(source_.loads, 1);
  a->Release();
  waiting.join();
  EXPECT_THAT(manager_->ListModels(), ElementsAre("b"));
}

TEST_F(ManagerWaitTest, AWaitForMemoryEndsAtItsDeadlineNamingTheHolders) {
  ResidencyOptions options = Options(1);
  options.wait_timeout = seconds(7);
  Start(options, {}, clock_);
  auto a = Lease("a");
  ASSERT_TRUE(a);
  std::jthread waiting([&] {
    const auto handle = Get("b");
    ASSERT_FALSE(handle);
    EXPECT_EQ(handle.error().code(), ErrorCode::kDeadlineExceeded);
    EXPECT_THAT(handle.error().ToString(), HasSubstr("timed out waiting for memory"));
    EXPECT_THAT(handle.error().ToString(), HasSubstr("'a' (2 MB, in use by 1 call)"));
  });
  AwaitWaiting("b", 1);
  while (clock_.waiting() < 2) std::this_thread::yield();  // the caller and its load
  clock_.Advance(seconds(7));
  waiting.join();
  a->Release();
  EXPECT_TRUE(Get("c"));  // nothing is left of the wait
}

TEST_F(ManagerWaitTest, ACallerCanStopWaitingForMemory) {
  Start(1);
  auto a = Lease("a");
  ASSERT_TRUE(a);
  std::stop_source stop;
  std::jthread waiting([&] {
    RequestOptions options;
    options.stop = stop.get_token();
    EXPECT_EQ(Get("b", options).error().code(), ErrorCode::kCancelled);
  });
  AwaitWaiting("b", 1);
  stop.request_stop();
  waiting.join();
  EXPECT_EQ(source_.loads, 1);
}

TEST_F(ManagerWaitTest, TwoColdRequestsAtACapOfOneBothSucceedAndLoadOnce) {
  Start(1);
  for (int round = 0; round < 50; ++round) {
    source_.loads = 0;
    std::jthread a([&] {
      const auto lease = Lease("a");
      ASSERT_TRUE(lease);
      EXPECT_EQ(FakeOf(*lease).name, "a");
    });
    std::jthread b([&] {
      const auto lease = Lease("b");
      ASSERT_TRUE(lease);
      EXPECT_EQ(FakeOf(*lease).name, "b");
    });
    a.join();
    b.join();
    EXPECT_LE(source_.loads, 2);
    manager_->ClearAll();
  }
}

TEST_F(ManagerWaitTest, ManyThatWaitForRoomAllGetIt) {
  Start(1);
  auto holder = Lease("first");
  ASSERT_TRUE(holder);
  std::vector<std::jthread> waiting;
  std::atomic<int> served = 0;
  for (int i = 0; i < 12; ++i) {
    const std::string id(1, static_cast<char>('a' + i));
    waiting.emplace_back([&, id] {
      const auto lease = Lease(id);
      ASSERT_TRUE(lease);
      ++served;
    });
    AwaitWaiting(id, 1);
  }
  holder->Release();
  waiting.clear();
  EXPECT_EQ(served, 12);
  EXPECT_EQ(source_.loads, 13);
}

TEST_F(ManagerWaitTest, RequestsForTheSameModelAreServedTogether) {
  Start(1);
  Gate gate;
  std::atomic<bool> hold = true;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    if (hold.exchange(false)) gate.Wait();
    return {};
  };
  std::vector<std::jthread> callers;
  const auto request = [&](const std::string& id, int waiting) {
    callers.emplace_back([this, id] {
      const auto lease = Lease(id);
      ASSERT_TRUE(lease);
      EXPECT_EQ(FakeOf(*lease).name, id);
    });
    AwaitWaiting(id, waiting);
  };
  request("a", 1);
  gate.AwaitEntered();
  request("b", 1);
  request("a", 2);
  request("a", 3);
  request("c", 1);
  request("a", 4);
  request("b", 2);
  request("c", 2);
  gate.Open();
  callers.clear();
  EXPECT_EQ(source_.loads, 3);
}

TEST_F(ManagerWaitTest, AModelInSteadyUseIsDrainedForWhoHasWaitedLongEnough) {
  ResidencyOptions options = Options(1);
  options.max_queue_wait = seconds(2);
  Start(options, {}, clock_);
  auto a = Lease("a");
  ASSERT_TRUE(a);
  std::jthread b([&] {
    const auto lease = Lease("b");
    ASSERT_TRUE(lease);
  });
  AwaitWaiting("b", 1);
  // Within the bound a is used on and on, and never free.
  for (int i = 0; i < 10; ++i) {
    auto next = Lease("a", AtOnce());
    ASSERT_TRUE(next);
    *a = *std::move(next);
  }
  EXPECT_EQ(source_.loads, 1);
  while (clock_.waiting() < 2) std::this_thread::yield();
  clock_.Advance(seconds(2));
  AwaitState("a", SlotState::kDraining);
  // From now on requests for a queue behind b.
  EXPECT_EQ(Lease("a", AtOnce()).error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(FakeOf(*a).name, "a");
  std::jthread again([&] {
    const auto lease = Lease("a");
    ASSERT_TRUE(lease);
    EXPECT_EQ(FakeOf(*lease).name, "a");
  });
  AwaitWaiting("a", 1);
  a->Release();
  b.join();
  again.join();
  EXPECT_EQ(source_.loads, 3);
}

TEST_F(ManagerWaitTest, ADrainingModelIsRevivedWhenNobodyWaitsForItsRoomAnyMore) {
  ResidencyOptions options = Options(1);
  options.max_queue_wait = seconds(0);
  Start(options);
  auto a = Lease("a");
  ASSERT_TRUE(a);
  std::stop_source stop;
  std::jthread b([&] {
    RequestOptions request;
    request.stop = stop.get_token();
    EXPECT_EQ(Get("b", request).error().code(), ErrorCode::kCancelled);
  });
  AwaitState("a", SlotState::kDraining);
  std::jthread second([&] {
    const auto lease = Lease("a");
    ASSERT_TRUE(lease);
  });
  AwaitWaiting("a", 1);
  stop.request_stop();
  b.join();
  second.join();
  EXPECT_EQ(source_.loads, 1);
  EXPECT_EQ(manager_->Metrics().revived, 1u);
}

TEST_F(ManagerWaitTest, AModelStaysForItsMinimumOfTime) {
  ResidencyOptions options = Options(1);
  options.min_residency = seconds(10);
  options.max_queue_wait = seconds(1);
  Start(options, {}, clock_);
  ASSERT_TRUE(Get("a"));
  std::jthread b([&] { EXPECT_TRUE(Get("b")); });
  AwaitWaiting("b", 1);
  while (clock_.waiting() < 2) std::this_thread::yield();
  clock_.Advance(seconds(5));
  EXPECT_TRUE(Get("a"));
  EXPECT_EQ(source_.loads, 1);
  while (clock_.waiting() < 2) std::this_thread::yield();
  clock_.Advance(seconds(5));
  b.join();
  EXPECT_EQ(source_.loads, 2);
}

TEST_F(ManagerWaitTest, AnUnusedModelLeavesAfterItsTime) {
  ResidencyOptions options = Options(3);
  options.time_to_live = seconds(10);
  Start(options, {}, clock_);
  ModelSettings forever;
  forever.time_to_live = ModelSettings::kForever;
  ASSERT_TRUE(manager_->SetSettings("stays", forever));
  const auto a = Get("a");
  ASSERT_TRUE(a && Get("stays"));
  clock_.Advance(seconds(9));
  ASSERT_TRUE(Get("a"));
  clock_.Advance(seconds(9));
  EXPECT_TRUE(manager_->IsLoaded("a"));
  clock_.Advance(seconds(2));
  AwaitAlive(1);
  EXPECT_THAT(manager_->ListModels(), ElementsAre("stays"));
  EXPECT_EQ(manager_->Metrics().evictions[static_cast<std::size_t>(EvictionReason::kTimeToLive)],
            1u);
  EXPECT_TRUE(a->Lease());  // and comes back when it is wanted
}

TEST_F(ManagerWaitTest, LoadsThatDoNotFitTogetherFollowEachOther) {
  SizesByName();
  Start(Options(5), 100);
  Gate gate;
  source_.before_load = [&](const ModelConfig& config, const LoadOptions&) -> Status {
    if (config.model_name == "a60") gate.Wait();
    return {};
  };
  std::jthread a([&] { EXPECT_TRUE(Get("a60")); });
  gate.AwaitEntered();
  std::jthread b([&] { EXPECT_TRUE(Get("b60")); });
  AwaitWaiting("b60", 1);
  EXPECT_TRUE(Get("c30"));  // fits beside, and overtakes
  EXPECT_EQ(manager_->StateOf("b60"), SlotState::kUnloaded);
  gate.Open();
  a.join();
  b.join();
  EXPECT_THAT(manager_->ListModels(), ElementsAre("c30", "b60"));
}

TEST_F(ManagerWaitTest, WhatCanNeverFitIsRefusedAtOnceAndEvictsNobody) {
  SizesByName();
  Start(Options(5), 100);
  ASSERT_TRUE(Get("a60"));
  const auto refused = Get("b101");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.error().ToString(), HasSubstr("Insufficient memory"));
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a60"));
  EXPECT_EQ(manager_->Metrics().refused, 1u);
  EXPECT_TRUE(Get("c40"));  // a refusal is no failure of the model
}

TEST_F(ManagerWaitTest, AHitOnAnotherModelWaitsForNeitherALoadNorADrain) {
  ResidencyOptions options = Options(2);
  options.max_queue_wait = seconds(0);
  Start(options);
  const auto b = Get("b");
  auto a = Lease("a");
  auto busy = b->Lease();
  ASSERT_TRUE(a && b && busy);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    gate.Wait();
    return {};
  };
  std::jthread waiting([&] { EXPECT_TRUE(Get("c")); });
  // The older one of the two makes room for c, and cannot yet.
  AwaitState("a", SlotState::kDraining);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(Get("b"));
    ASSERT_TRUE(b->Lease());
  }
  a->Release();
  gate.AwaitEntered();  // now c loads, held
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(Get("b"));
    ASSERT_TRUE(b->Lease());
  }
  gate.Open();
}

}  // namespace
}  // namespace mdsa
