// Loads that many want, that fail, and that are cancelled.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "models/manager_fixture.h"
#include "models/manager_state.h"

namespace mdsa {
namespace {

using test::FakeOf;
using test::Gate;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ManagerFlightTest : public test::ManagerFixture {};

TEST_F(ManagerFlightTest, SixtyFourThreadsLoadOnce) {
  Start(2);
  constexpr int kThreads = 64;
  std::latch all_ready(kThreads);
  std::vector<std::jthread> threads;
  std::atomic<int> successes = 0;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      all_ready.arrive_and_wait();
      if (Get("m")) ++successes;
    });
  }
  threads.clear();
  EXPECT_EQ(successes, kThreads);
  EXPECT_EQ(source_.loads, 1);
  EXPECT_EQ(Uses("m"), kThreads);
}

TEST_F(ManagerFlightTest, AFailureIsSharedByAllWhoWaitAndThenTriedAgain) {
  Start(2);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    gate.Wait();
    return Err(ErrorCode::kInvalidFormat, "damaged file");
  };
  constexpr int kThreads = 4;
  std::vector<std::jthread> threads;
  std::atomic<int> failures = 0;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      const auto handle = Get("m");
      if (!handle && handle.error().ToString() == "damaged file") ++failures;
    });
  }
  AwaitWaiting("m", kThreads);
  gate.Open();
  threads.clear();
  EXPECT_EQ(failures, kThreads);
  EXPECT_EQ(source_.loads, 1);
  EXPECT_FALSE(manager_->registry().IsLoaded("m"));

  source_.before_load = nullptr;
  EXPECT_TRUE(Get("m"));
  EXPECT_TRUE(manager_->registry().IsLoaded("m"));
}

TEST_F(ManagerFlightTest, DifferentModelsLoadAtTheSameTime) {
  Start(2);
  std::latch both_inside(2);
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    both_inside.arrive_and_wait();  // never returns unless the other load is inside too
    return {};
  };
  std::jthread other([&] { EXPECT_TRUE(Get("a")); });
  EXPECT_TRUE(Get("b"));
}

TEST_F(ManagerFlightTest, AHitWaitsForNobodysLoad) {
  Start(3);
  const auto loaded = Get("a");
  ASSERT_TRUE(loaded);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    gate.Wait();
    return {};
  };
  std::jthread loading([&] { EXPECT_TRUE(Get("b")); });
  gate.AwaitEntered();
  // All of these return while the load of b is held.
  EXPECT_TRUE(Get("a"));
  EXPECT_TRUE(loaded->Acquire());
  EXPECT_THAT(manager_->registry().ListModels(), ElementsAre("a"));
  EXPECT_TRUE(manager_->Unload("a"));
  gate.Open();
}

TEST_F(ManagerFlightTest, ManyHandlesReloadOnce) {
  Start(1);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  ASSERT_TRUE(Get("b"));
  constexpr int kThreads = 16;
  std::latch all_ready(kThreads);
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, handle = *a] {
      all_ready.arrive_and_wait();
      EXPECT_TRUE(handle.Acquire());
    });
  }
  threads.clear();
  EXPECT_EQ(source_.loads, 3);
}

TEST_F(ManagerFlightTest, AConflictWithALoadInFlightIsSeenAtOnce) {
  Start(2);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    gate.Wait();
    return {};
  };
  std::jthread loading([&] { EXPECT_TRUE(Get("m")); });
  gate.AwaitEntered();
  ModelConfig other = ModelConfig::ForTier3("m");
  other.quantization = QuantizationType::kNone;
  EXPECT_EQ(manager_->GetOrLoad("m", other, {}).error().code(), ErrorCode::kFailedPrecondition);
  gate.Open();
}

TEST_F(ManagerFlightTest, UnloadDuringALoadCancelsIt) {
  Start(2);
  Gate gate;
  std::atomic<bool> stop_seen = false;
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    gate.Wait();
    stop_seen = options.stop.stop_requested();
    return {};  // and finishes all the same
  };
  std::jthread loading([&] {
    const auto handle = Get("m");
    ASSERT_FALSE(handle);
    EXPECT_EQ(handle.error().code(), ErrorCode::kFailedPrecondition);
  });
  gate.AwaitEntered();
  EXPECT_TRUE(manager_->Unload("m"));
  EXPECT_FALSE(manager_->Unload("m"));
  gate.Open();
  loading.join();
  EXPECT_TRUE(stop_seen);
  EXPECT_FALSE(manager_->registry().IsLoaded("m"));
  EXPECT_EQ(source_.alive, 0);
}

TEST_F(ManagerFlightTest, ALoadAfterAnUnloadDoesNotJoinTheCancelledOne) {
  Start(2);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    if (source_.loads == 1) gate.Wait();
    return {};
  };
  std::jthread cancelled([&] { EXPECT_FALSE(Get("m")); });
  gate.AwaitEntered();
  EXPECT_TRUE(manager_->Unload("m"));
  const auto fresh = Get("m");  // while the old load is still inside
  ASSERT_TRUE(fresh);
  gate.Open();
  cancelled.join();
  EXPECT_TRUE(fresh->Acquire());
  EXPECT_EQ(source_.loads, 2);
  EXPECT_EQ(source_.alive, 1);
}

TEST_F(ManagerFlightTest, ClosingCancelsLoadsInFlight) {
  Start(2);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    gate.Wait();
    EXPECT_TRUE(options.stop.stop_requested());
    return {};
  };
  std::jthread loading([&] { EXPECT_FALSE(Get("m")); });
  gate.AwaitEntered();
  manager_->Close();
  gate.Open();
  loading.join();
  EXPECT_EQ(source_.alive, 0);
}

TEST_F(ManagerFlightTest, TheOnlyCallerCancelsItsLoad) {
  Start(2);
  std::stop_source stop;
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    stop.request_stop();
    EXPECT_TRUE(options.stop.stop_requested());
    return Err(ErrorCode::kCancelled, "stopped at tensor 3");
  };
  LoadOptions options;
  options.stop = stop.get_token();
  EXPECT_EQ(Get("m", options).error().code(), ErrorCode::kCancelled);
  source_.before_load = nullptr;
  EXPECT_TRUE(Get("m"));
}

TEST_F(ManagerFlightTest, AWaiterThatCancelsLeavesTheLoadToTheOthers) {
  Start(2);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    gate.Wait();
    EXPECT_FALSE(options.stop.stop_requested());
    return {};
  };
  std::jthread leader([&] { EXPECT_TRUE(Get("m")); });
  gate.AwaitEntered();
  std::stop_source stop;
  stop.request_stop();
  LoadOptions options;
  options.stop = stop.get_token();
  // Returns while the load is held.
  EXPECT_EQ(Get("m", options).error().code(), ErrorCode::kCancelled);
  gate.Open();
  leader.join();
  EXPECT_EQ(source_.loads, 1);
}

TEST_F(ManagerFlightTest, TheLoadGoesOnWhenItsStarterCancelsButOthersWait) {
  Start(2);
  std::stop_source stop;
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    gate.Wait();
    return options.stop.stop_requested() ? Status(Err(ErrorCode::kCancelled, "stopped")) : Status();
  };
  std::jthread leader([&] {
    LoadOptions options;
    options.stop = stop.get_token();
    EXPECT_TRUE(Get("m", options));
  });
  gate.AwaitEntered();
  std::jthread second([&] { EXPECT_TRUE(Get("m")); });
  AwaitWaiting("m", 2);
  stop.request_stop();
  gate.Open();
  leader.join();
  second.join();
  EXPECT_EQ(source_.loads, 1);
}

TEST_F(ManagerFlightTest, ALoadThatThrowsIsAnErrorForAll) {
  Start(2);
  source_.before_load = [](const ModelConfig&, const LoadOptions&) -> Status {
    throw std::runtime_error("callback failed");
  };
  EXPECT_THAT(Get("m").error().ToString(), HasSubstr("callback failed"));
  source_.before_load = [](const ModelConfig&, const LoadOptions&) -> Status {
    throw std::bad_alloc();
  };
  EXPECT_EQ(Get("m").error().code(), ErrorCode::kResourceExhausted);
  source_.before_load = nullptr;
  EXPECT_TRUE(Get("m"));
}

TEST_F(ManagerFlightTest, AForeignObjectRegisteredDuringALoadWins) {
  Start(2);
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    ModelRegistry::Entry entry;
    entry.foreign = std::make_shared<int>(1);
    EXPECT_TRUE(manager_->registry().Register("m", std::move(entry)));
    return {};
  };
  EXPECT_EQ(Get("m").error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(source_.alive, 0);
}

TEST_F(ManagerFlightTest, HammeredFromManyThreadsEveryUseGetsTheModelItAskedFor) {
  Start(2);
  constexpr int kThreads = 8;
  constexpr int kSteps = 300;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      std::vector<ModelHandle> handles;
      for (int step = 0; step < kSteps; ++step) {
        const std::string id(1, static_cast<char>('a' + random() % 4));
        switch (random() % 8) {
          case 0:
            manager_->Unload(id);
            break;
          case 1:
          case 2:
            // Fails only when another thread unloads the id while it loads.
            if (auto handle = Get(id)) handles.push_back(*std::move(handle));
            break;
          default: {
            if (handles.empty()) break;
            const ModelHandle& handle = handles[random() % handles.size()];
            const auto model = handle.Acquire();
            if (model) {
              EXPECT_EQ(FakeOf(*model).name, handle.model_id());
            } else {
              EXPECT_EQ(model.error().code(), ErrorCode::kFailedPrecondition);
            }
          }
        }
        EXPECT_LE(manager_->registry().size(), 2);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(source_.alive, manager_->registry().size());
}

}  // namespace
}  // namespace mdsa
