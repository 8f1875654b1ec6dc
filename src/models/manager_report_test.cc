// What the manager tells: events, metrics, explanations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "models/manager_state.h"
#include "support/manager_fixture.h"
#include "support/manual_clock.h"

namespace mdsa {
namespace {

using std::chrono::seconds;
using test::Gate;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = ModelEvent::Kind;
using Verdict = ResidencyExplanation::Verdict;

class ManagerReportTest : public test::ManagerFixture {
 protected:
  void Listen() {
    id_ = manager_->events().Subscribe([this](const ModelEvent& event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(event);
    });
  }
  std::vector<ModelEvent> Events() {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  // Once there are so many: a load tells of its end after its callers have heard of it.
  std::vector<std::string> Told(std::size_t count) {
    while (Events().size() < count) std::this_thread::yield();
    std::vector<std::string> told;
    for (const ModelEvent& event : Events()) {
      told.push_back(std::string(ModelEventKindName(event.kind)) + " " + event.model_id);
    }
    return told;
  }

  std::mutex mutex_;
  std::vector<ModelEvent> events_;
  EventQueue::Id id_ = 0;
};

TEST_F(ManagerReportTest, EventsTellALifeWithItsNumbers) {
  Start(Options(1), 5'000'000);
  Listen();
  source_.before_load = [](const ModelConfig&, const LoadOptions& options) -> Status {
    options.on_progress({"convert", 3, 7});
    return {};
  };
  ASSERT_TRUE(Get("a") && Get("b"));
  EXPECT_TRUE(Unload("b"));
  EXPECT_THAT(Told(7), ElementsAre("loading a", "ready a", "evicted a", "freed a", "loading b",
                                   "ready b", "freed b"));
  const auto events = Events();
  EXPECT_EQ(events[0].phase, "convert");
  EXPECT_EQ(events[0].bytes_done, 3u);
  EXPECT_EQ(events[0].bytes_total, 7u);
  EXPECT_EQ(events[1].bytes, 2'500'000u);
  EXPECT_EQ(events[1].estimated_bytes, 2'500'000u);
  EXPECT_EQ(events[1].reserved_bytes, 2'500'000u);
  EXPECT_EQ(events[1].limit_bytes, 5'000'000u);
  EXPECT_EQ(events[1].models, 1);
  EXPECT_EQ(events[2].reason, EvictionReason::kCount);
  EXPECT_EQ(events[2].for_model, "b");
  EXPECT_EQ(events[3].bytes, 2'500'000u);
  EXPECT_EQ(events[3].reserved_bytes, 0u);
  EXPECT_EQ(events[3].models, 0);
}

TEST_F(ManagerReportTest, AFailureIsAnEventWithItsErrorAndBackOff) {
  ResidencyOptions options = Options(1);
  options.retry_delay = seconds(4);
  Start(options, {}, clock_);
  Listen();
  source_.before_load = [](const ModelConfig&, const LoadOptions&) -> Status {
    return Err(ErrorCode::kIo, "disk gone");
  };
  EXPECT_FALSE(Get("m"));
  EXPECT_FALSE(Get("m"));
  EXPECT_THAT(Told(1), ElementsAre("failed m"));
  EXPECT_EQ(Events()[0].error->message(), "disk gone");
  EXPECT_EQ(Events()[0].retry_after_seconds, 4.0);
  EXPECT_EQ(manager_->Metrics().retries_refused, 1u);
}

TEST_F(ManagerReportTest, SinksMayCallTheManagerForNoLockIsHeld) {
  Start(1);
  std::atomic<int> heard = 0;
  manager_->events().Subscribe([&](const ModelEvent& event) {
    (void)manager_->GetStats();
    (void)manager_->Metrics();
    if (event.kind == Kind::kEvicted) Unload("nobody");
    ++heard;
  });
  ASSERT_TRUE(Get("a") && Get("b"));
  while (heard < 4) std::this_thread::yield();
  manager_->Close();  // before `heard` goes
}

TEST_F(ManagerReportTest, AWaitOlderThanTheBoundIsReportedAgainAndAgainMoreRarely) {
  ResidencyOptions options = Options(1);
  options.report_waits_after = seconds(10);
  Start(options, {}, clock_);
  Listen();
  Gate gate;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    gate.Wait();
    return {};
  };
  std::jthread caller([&] { EXPECT_TRUE(Get("m")); });
  gate.AwaitEntered();
  const auto reports = [&] { return manager_->Metrics().long_waits; };
  for (const auto& [wait, expected] :
       {std::pair(seconds(10), 1u), std::pair(seconds(10), 2u), std::pair(seconds(20), 3u)}) {
    while (clock_.waiting() == 0) std::this_thread::yield();
    clock_.Advance(wait);
    while (reports() < expected) std::this_thread::yield();
  }
  gate.Open();
  caller.join();
  EXPECT_EQ(reports(), 3u);
  ASSERT_THAT(Told(4), ElementsAre("waiting m", "waiting m", "waiting m", "ready m"));
  EXPECT_NEAR(Events()[0].seconds, 10.0, 0.1);
  EXPECT_EQ(Events()[0].what, "it is loading");
}

TEST_F(ManagerReportTest, CountersTellWhatHappened) {
  Start(1);
  ASSERT_TRUE(Get("a"));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Get("a"));
  ASSERT_TRUE(Get("b"));
  EXPECT_TRUE(Unload("b"));
  const ResidencyMetrics metrics = manager_->Metrics();
  EXPECT_EQ(metrics.hits, 5u);
  EXPECT_EQ(metrics.misses, 2u);
  EXPECT_EQ(metrics.loads, 2u);
  EXPECT_EQ(metrics.unloads, 1u);
  EXPECT_EQ(metrics.evictions[static_cast<std::size_t>(EvictionReason::kCount)], 1u);
  EXPECT_EQ(metrics.load_seconds.count, 2u);
  EXPECT_EQ(metrics.wait_seconds.count, 2u);
  ASSERT_THAT(metrics.devices, SizeIs(1));
  EXPECT_EQ(metrics.devices[0].device, "cpu");
  EXPECT_EQ(metrics.devices[0].reserved_bytes, 0u);
  EXPECT_EQ(metrics.devices[0].peak_bytes, 2'500'000u);
  ASSERT_THAT(metrics.models, SizeIs(1));  // b is forgotten
  EXPECT_EQ(metrics.models[0].model_id, "a");
  EXPECT_EQ(metrics.models[0].state, SlotState::kUnloaded);
  EXPECT_EQ(metrics.models[0].loads, 1u);
}

TEST_F(ManagerReportTest, AnExplanationIsADryRun) {
  Start(Options(2), 6'000'000);
  const ModelConfig config = ModelConfig::ForTier3("new");
  auto explained = manager_->Explain("new", &config);
  ASSERT_TRUE(explained);
  EXPECT_EQ(explained->verdict, Verdict::kFits);
  EXPECT_EQ(explained->resident_bytes, 2'500'000u);
  EXPECT_EQ(explained->limit_bytes, 6'000'000u);

  ASSERT_TRUE(Get("a") && Get("b"));
  EXPECT_EQ(manager_->Explain("a", nullptr)->verdict, Verdict::kResident);
  explained = manager_->Explain("new", &config);
  EXPECT_EQ(explained->verdict, Verdict::kEvicts);
  ASSERT_THAT(explained->victims, SizeIs(1));
  EXPECT_EQ(explained->victims[0].model_id, "a");
  EXPECT_EQ(explained->victims[0].reason, EvictionReason::kCount);
  ASSERT_THAT(explained->kept, SizeIs(1));
  EXPECT_EQ(explained->kept[0].model_id, "b");

  const auto a = Lease("a");
  const auto b = Lease("b");
  explained = manager_->Explain("new", &config);
  EXPECT_EQ(explained->verdict, Verdict::kWaits);
  EXPECT_THAT(explained->reason, HasSubstr("in use by 1 call"));
  EXPECT_THAT(explained->victims, IsEmpty());

  source_.bytes_of = [](const ModelConfig&) { return std::uint64_t{7'000'000}; };
  explained = manager_->Explain("new", &config);
  EXPECT_EQ(explained->verdict, Verdict::kRefused);
  source_.before_needs = [](const ModelConfig&) -> Status {
    return Err(ErrorCode::kNotFound, "no such folder");
  };
  EXPECT_EQ(manager_->Explain("new", &config).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(manager_->Explain("unknown", nullptr).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(source_.loads, 2);
}

TEST_F(ManagerReportTest, ADeclaredModelNeedsNoConfiguration) {
  Start(1);
  DeclaredModel declared;
  declared.id = "support";
  declared.config = ModelConfig::ForTier3("m");
  declared.settings.pinned = true;
  ASSERT_TRUE(manager_->Declare(declared));
  const auto handle = manager_->GetOrLoad("support", nullptr, {});
  ASSERT_TRUE(handle);
  EXPECT_EQ(manager_->Peek("support")->config->model_name, "m");
  EXPECT_TRUE(manager_->Peek("support")->settings.pinned);
}

}  // namespace
}  // namespace mdsa
