// Loads that many want and that fail.
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
#include "models/manager_state.h"
#include "support/manager_fixture.h"

namespace mdsa {
namespace {

using test::FakeOf;
using test::Gate;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ManagerFlightTest : public test::ManagerFixture {
 protected:
  static UnloadOptions NoWait() {
    UnloadOptions options;
    options.timeout = std::chrono::nanoseconds(0);
    return options;
  }
  // What a call may meet that others disturb.
  static bool IsExpected(ErrorCode code) {
    return code == ErrorCode::kIo || code == ErrorCode::kCancelled ||
           code == ErrorCode::kFailedPrecondition || code == ErrorCode::kResourceExhausted;
  }
};

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
  EXPECT_FALSE(manager_->IsLoaded("m"));

  source_.before_load = nullptr;
  EXPECT_TRUE(Get("m"));
  EXPECT_TRUE(manager_->IsLoaded("m"));
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
  EXPECT_TRUE(loaded->Lease());
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a"));
  EXPECT_TRUE(Unload("a"));
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
      EXPECT_TRUE(handle.Lease());
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
  EXPECT_EQ(manager_->GetOrLoad("m", &other, {}).error().code(), ErrorCode::kFailedPrecondition);
  gate.Open();
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
  EXPECT_THAT(Get("m").error().ToString(), HasSubstr("'m'"));
  source_.before_load = [](const ModelConfig&, const LoadOptions&) -> Status { throw 7; };
  EXPECT_EQ(Get("m").error().code(), ErrorCode::kInternal);
  source_.before_load = nullptr;
  EXPECT_TRUE(Get("m"));
}

TEST_F(ManagerFlightTest, AModelThatCannotBeDescribedIsAnErrorForAllWhoWait) {
  ModelSource source = source_.source();
  std::atomic<bool> fail = true;
  source.describe = [&, describe = source.describe](const Model& model) {
    if (fail) throw std::bad_alloc();
    return describe(model);
  };
  manager_ = ManagerState::Create({Options(2), {}, nullptr, std::move(source)}).value();
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    gate.Wait();
    return {};
  };
  std::vector<std::jthread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back(
        [&] { EXPECT_EQ(Get("m").error().code(), ErrorCode::kResourceExhausted); });
  }
  AwaitWaiting("m", 3);
  gate.Open();
  callers.clear();
  fail = false;
  EXPECT_TRUE(Get("m"));
}

// Sets a flag when the thread ends that made it.
struct ThreadEnd {
  explicit ThreadEnd(std::atomic<bool>& its_ended) : ended(its_ended) {}
  ~ThreadEnd() {
    ended = true;
    ended.notify_all();
  }
  std::atomic<bool>& ended;
};

TEST_F(ManagerFlightTest, AnAbandonedLoadThatFailsLateDisturbsNotTheNextOne) {
  Start(2);
  ASSERT_TRUE(Get("m"));
  ASSERT_TRUE(manager_->Unregister("m"));  // evicted: the next load is of the same record
  Gate describing;
  Gate loading;
  std::atomic<int> described = 0;
  std::atomic<bool> first_ended = false;
  source_.before_needs = [&](const ModelConfig&) -> Status {
    if (++described > 1) return {};
    thread_local ThreadEnd end(first_ended);
    describing.Wait();
    return Err(ErrorCode::kIo, "too late for anybody");
  };
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    loading.Wait();
    return {};
  };
  std::stop_source stop;
  std::jthread first([&] {
    RequestOptions options;
    options.stop = stop.get_token();
    EXPECT_EQ(Get("m", options).error().code(), ErrorCode::kCancelled);
  });
  describing.AwaitEntered();
  stop.request_stop();
  first.join();
  std::jthread second([&] { EXPECT_TRUE(Get("m")); });
  loading.AwaitEntered();
  describing.Open();
  first_ended.wait(false);
  EXPECT_EQ(manager_->StateOf("m"), SlotState::kLoading);
  EXPECT_EQ(manager_->Validate(0), std::nullopt);
  loading.Open();
  second.join();
  EXPECT_TRUE(manager_->IsLoaded("m"));
}

TEST_F(ManagerFlightTest, AnIdThatLoadsIsTaken) {
  Start(2);
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    ModelRegistry::Entry entry;
    entry.foreign = std::make_shared<int>(1);
    EXPECT_EQ(manager_->Register("m", std::move(entry)).error().code(), ErrorCode::kAlreadyExists);
    return {};
  };
  EXPECT_TRUE(Get("m"));
}

TEST_F(ManagerFlightTest, HammeredFromManyThreadsEveryUseGetsTheModelItAskedFor) {
  Start(2);
  std::atomic<int> attempts = 0;
  source_.before_load = [&](const ModelConfig&, const LoadOptions& options) -> Status {
    if (options.on_progress) options.on_progress({"read", 0, 1});
    if (++attempts % 5 == 0) return Err(ErrorCode::kIo, "disk gone");
    if (options.stop.stop_requested()) return Err(ErrorCode::kCancelled, "stopped");
    return {};
  };
  constexpr int kThreads = 8;
  constexpr int kSteps = 300;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      std::vector<ModelHandle> handles;
      std::vector<ModelLease> held;
      for (int step = 0; step < kSteps; ++step) {
        const std::string id(1, static_cast<char>('a' + random() % 4));
        switch (random() % 16) {
          case 0:
            (void)manager_->Unload(id, NoWait());
            break;
          case 1:
            manager_->ClearAll();
            break;
          case 2:
            manager_->Unregister(id);
            break;
          case 3:
            held.clear();
            break;
          case 4:
          case 5: {
            // May be cancelled before the load, during it or not at all.
            std::stop_source stop;
            int calls = 0;
            RequestOptions options = AtOnce();
            options.stop = stop.get_token();
            options.on_progress = [&](const LoadProgress&) {
              ++calls;
              stop.request_stop();
            };
            if (auto handle = Get(id, options)) {
              handles.push_back(*std::move(handle));
            } else {
              EXPECT_TRUE(IsExpected(handle.error().code()));
            }
            break;
          }
          case 6:
          case 7:
          case 8:
            if (auto handle = Get(id, AtOnce())) {
              handles.push_back(*std::move(handle));
            } else {
              EXPECT_TRUE(IsExpected(handle.error().code()));
            }
            break;
          default: {
            if (handles.empty()) break;
            const ModelHandle& handle = handles[random() % handles.size()];
            // Who holds leases does not wait for others'.
            auto model = handle.Lease(AtOnce());
            if (model) {
              EXPECT_EQ(FakeOf(*model).name, handle.model_id());
              if (random() % 4 == 0) held.push_back(*std::move(model));
            } else {
              EXPECT_TRUE(IsExpected(model.error().code()));
            }
          }
        }
        EXPECT_LE(manager_->size(), 2);
      }
    });
  }
  threads.clear();
  AwaitAlive(static_cast<int>(manager_->size()));
  manager_->Close();  // before `attempts` goes
}

}  // namespace
}  // namespace mdsa
