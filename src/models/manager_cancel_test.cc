// Loads that are given up: by an unload, by a closing manager, by those who wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/error.h"
#include "models/manager_state.h"
#include "support/manager_fixture.h"

namespace mdsa {
namespace {

using test::FakeOf;
using test::Gate;
using ::testing::HasSubstr;

class ManagerCancelTest : public test::ManagerFixture {
 protected:
  static RequestOptions StoppedBy(const std::stop_source& stop) {
    RequestOptions options;
    options.stop = stop.get_token();
    return options;
  }
};

TEST_F(ManagerCancelTest, UnloadDuringALoadCancelsIt) {
  Start(2);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    gate.Wait();
    test::AwaitStop(options.stop);
    return {};  // and finishes all the same
  };
  std::jthread loading([&] {
    const auto handle = Get("m");
    ASSERT_FALSE(handle);
    EXPECT_EQ(handle.error().code(), ErrorCode::kFailedPrecondition);
  });
  gate.AwaitEntered();
  EXPECT_TRUE(Unload("m"));
  EXPECT_FALSE(Unload("m"));
  loading.join();  // while the load is held
  EXPECT_FALSE(manager_->IsLoaded("m"));
  gate.Open();
  manager_->Close();
}

TEST_F(ManagerCancelTest, ALoadAfterAnUnloadDoesNotJoinTheCancelledOne) {
  Start(2);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    if (source_.loads == 1) gate.Wait();
    return {};
  };
  std::jthread cancelled([&] { EXPECT_FALSE(Get("m")); });
  gate.AwaitEntered();
  EXPECT_TRUE(Unload("m"));
  const auto fresh = Get("m");  // while the old load is still inside
  ASSERT_TRUE(fresh);
  gate.Open();
  cancelled.join();
  EXPECT_TRUE(fresh->Lease());
  EXPECT_EQ(source_.loads, 2);
  manager_->Close();
}

TEST_F(ManagerCancelTest, ClosingCancelsLoadsInFlightAndWaitsForTheirEnd) {
  Start(2);
  std::atomic<bool> ended = false;
  Gate gate;
  gate.Open();
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    gate.Wait();
    test::AwaitStop(options.stop);
    ended = true;
    return {};
  };
  std::jthread loading([&] {
    EXPECT_THAT(Get("m").error().ToString(), HasSubstr("the manager of model 'm' is gone"));
  });
  gate.AwaitEntered();
  manager_->Close();
  EXPECT_TRUE(ended);
  EXPECT_EQ(source_.alive, 0);
}

TEST_F(ManagerCancelTest, TheOnlyCallerCancelsItsLoad) {
  Start(2);
  std::stop_source stop;
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    stop.request_stop();
    test::AwaitStop(options.stop);
    return Err(ErrorCode::kCancelled, "stopped at tensor 3");
  };
  LoadOptions options;
  options.stop = stop.get_token();
  EXPECT_EQ(Get("m", options).error().code(), ErrorCode::kCancelled);
  source_.before_load = nullptr;
  EXPECT_TRUE(Get("m"));
}

TEST_F(ManagerCancelTest, AStopEndsTheWaitOfTheCallerThatStartedTheLoadAtOnce) {
  Start(2);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    gate.Wait();  // looks at no stop
    return {};
  };
  std::stop_source stop;
  std::jthread caller([&] {
    LoadOptions options;
    options.stop = stop.get_token();
    EXPECT_EQ(Get("m", options).error().code(), ErrorCode::kCancelled);
  });
  gate.AwaitEntered();
  stop.request_stop();
  caller.join();
  EXPECT_EQ(manager_->CallersWaitingFor("m"), 0);
  gate.Open();
  manager_->Close();
}

TEST_F(ManagerCancelTest, AStopEndsTheWaitForAnEvictedModel) {
  Start(1);
  const auto a = Get("a");
  ASSERT_TRUE(a && Get("b"));
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    gate.Wait();
    return {};
  };
  std::stop_source stop;
  std::vector<std::jthread> callers;
  callers.emplace_back(
      [&] { EXPECT_EQ(a->Lease(StoppedBy(stop)).error().code(), ErrorCode::kCancelled); });
  callers.emplace_back([&] {
    const auto answer = a->Generate({}, {}, {}, {}, stop.get_token());
    EXPECT_EQ(answer.error().code(), ErrorCode::kCancelled);
  });
  callers.emplace_back([&] {
    const auto answer = a->GenerateText("a", {}, {}, true, stop.get_token());
    EXPECT_EQ(answer.error().code(), ErrorCode::kCancelled);
  });
  callers.emplace_back([&] {
    const auto answer = a->Chat({}, {}, {}, stop.get_token());
    EXPECT_EQ(answer.error().code(), ErrorCode::kCancelled);
  });
  AwaitWaiting("a", 4);
  stop.request_stop();
  callers.clear();
  gate.Open();
  manager_->Close();
}

TEST_F(ManagerCancelTest, ProgressIsReportedUntilItsCallerLeavesAndNeverAfter) {
  Start(2);
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    options.on_progress({"read", 0, 2});
    gate.Wait();
    options.on_progress({"convert", 2, 2});
    return {};
  };
  std::stop_source stop;
  std::jthread starter([&] {
    int calls = 0;  // gone after the call
    LoadOptions options;
    options.stop = stop.get_token();
    options.on_progress = [&](const LoadProgress&) { ++calls; };
    EXPECT_EQ(Get("m", options).error().code(), ErrorCode::kCancelled);
    EXPECT_EQ(calls, 1);
  });
  gate.AwaitEntered();
  std::jthread second([&] { EXPECT_TRUE(Get("m")); });
  AwaitWaiting("m", 2);
  stop.request_stop();
  starter.join();
  gate.Open();
}

TEST_F(ManagerCancelTest, ACallerLeavesOnlyWhenItsProgressCallbackHasReturned) {
  Start(2);
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    options.on_progress({"read", 0, 1});
    return {};
  };
  std::stop_source stop;
  bool returned = false;
  LoadOptions options;
  options.stop = stop.get_token();
  options.on_progress = [&](const LoadProgress&) {
    stop.request_stop();
    AwaitWaiting("m", 0);
    returned = true;
  };
  EXPECT_EQ(Get("m", options).error().code(), ErrorCode::kCancelled);
  EXPECT_TRUE(returned);
  manager_->Close();
}

TEST_F(ManagerCancelTest, AFreedObjectMayCloseTheManagerFromTheThreadOfALoad) {
  Start(1);
  const auto first = Get("first");
  ASSERT_TRUE(first);
  {
    const auto lease = first->Lease();
    FakeOf(*lease).on_destroy = [this] { manager_->Close(); };
  }
  EXPECT_THAT(Get("second").error().ToString(), HasSubstr("is gone"));  // evicts the first
  manager_->Close();
}

TEST_F(ManagerCancelTest, AWaiterThatCancelsLeavesTheLoadToTheOthers) {
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

TEST_F(ManagerCancelTest, TheLoadGoesOnWhenItsStarterCancelsButOthersWait) {
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
    EXPECT_EQ(Get("m", options).error().code(), ErrorCode::kCancelled);
  });
  gate.AwaitEntered();
  std::jthread second([&] { EXPECT_TRUE(Get("m")); });
  AwaitWaiting("m", 2);
  stop.request_stop();
  leader.join();
  gate.Open();
  second.join();
  EXPECT_EQ(source_.loads, 1);
}

}  // namespace
}  // namespace mdsa
