#include "models/residency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"

namespace mdsa {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Step = Residency::Step;
using enum SlotState;

class ResidencyTest : public ::testing::Test {
 protected:
  ResidencyTest() {
    options_.max_models = 10;
    options_.max_queue_wait = seconds(2);
    Start(100);
  }
  void Start(std::optional<std::uint64_t> limit) {
    residency_.emplace(options_, limit, std::make_shared<const LruPolicy>());
  }

  Residency::Ticket Join(const std::string& id, std::uint64_t bytes) {
    RecordPtr record = residency_->Find(id);
    if (record == nullptr) record = residency_->Insert(id);
    record->config = ModelConfig();
    return residency_->Join(record, {bytes, bytes, 1}, Now());
  }
  Step Try(Residency::Ticket ticket) { return residency_->Try(ticket, Now(), std::nullopt); }
  // Loads without any wait.
  RecordPtr Load(const std::string& id, std::uint64_t bytes, std::int64_t leases = 0) {
    const auto ticket = Join(id, bytes);
    Step step = Try(ticket);
    while (step.kind == Step::Kind::kFree) {
      FreeAll(step.victims);
      step = Try(ticket);
    }
    EXPECT_EQ(step.kind, Step::Kind::kGranted) << step.error.message();
    const RecordPtr record = residency_->Find(id);
    residency_->StartLoading(*record);
    EXPECT_EQ(residency_->Settle(*record, {bytes, 0, 0}), 0u);
    record->slot->NoteUse(Now().time_since_epoch().count());
    residency_->PublishReady(*record, {}, leases, Now());
    return record;
  }
  void FreeAll(const std::vector<Residency::Victim>& victims) {
    for (const Residency::Victim& victim : victims) {
      freed_.push_back(victim.record->id());
      residency_->Freed(victim.record);
    }
  }
  Clock::TimePoint Now() { return now_ += std::chrono::nanoseconds(1); }
  std::uint64_t Reserved() { return residency_->ledger("cpu")->reserved_bytes(); }
  void TearDown() override { EXPECT_EQ(residency_->Validate(0), std::nullopt); }

  ResidencyOptions options_;
  std::optional<Residency> residency_;
  Clock::TimePoint now_ = Clock::TimePoint(seconds(1000));
  std::vector<std::string> freed_;
};

TEST_F(ResidencyTest, ThePeakIsReservedFirstAndSettledToWhatWasMeasured) {
  const auto ticket = Join("m", 80);
  ASSERT_EQ(Try(ticket).kind, Step::Kind::kGranted);
  const RecordPtr record = residency_->Find("m");
  EXPECT_EQ(record->slot->state(), kReserved);
  EXPECT_EQ(Reserved(), 80u);
  residency_->StartLoading(*record);
  EXPECT_EQ(residency_->Settle(*record, {50, 10, 7}), 0u);
  EXPECT_EQ(Reserved(), 57u);
  EXPECT_EQ(record->allocated_bytes, 47u);
  residency_->PublishReady(*record, {}, 0, Now());
  EXPECT_EQ(record->slot->state(), kReady);
}

TEST_F(ResidencyTest, BytesAreGivenBackOnlyWhenTheMemoryIsFree) {
  const RecordPtr a = Load("a", 60);
  const auto ticket = Join("b", 60);
  Step step = Try(ticket);
  ASSERT_EQ(step.kind, Step::Kind::kFree);
  ASSERT_EQ(step.victims.size(), 1u);
  EXPECT_EQ(step.victims[0].reason, EvictionReason::kBytes);
  EXPECT_EQ(step.victims[0].for_model, "b");
  EXPECT_EQ(a->slot->state(), kUnloading);
  EXPECT_EQ(Reserved(), 60u);
  EXPECT_EQ(Try(ticket).kind, Step::Kind::kWait);  // for the memory that is being freed
  residency_->Freed(a);
  EXPECT_EQ(Reserved(), 0u);
  EXPECT_EQ(Try(ticket).kind, Step::Kind::kGranted);
}

TEST_F(ResidencyTest, WhoCameFirstIsServedFirst) {
  const RecordPtr a = Load("a", 60, 1);
  const auto b = Join("b", 50);
  const auto c = Join("c", 50);
  EXPECT_EQ(Try(b).kind, Step::Kind::kWait);
  const Step behind = Try(c);
  EXPECT_EQ(behind.kind, Step::Kind::kWait);
  EXPECT_THAT(behind.error.message(), HasSubstr("behind 'b'"));
  a->slot->ReleaseLease();
  EXPECT_EQ(Try(c).kind, Step::Kind::kWait);
  const Step step = Try(b);
  EXPECT_EQ(step.kind, Step::Kind::kFree);
  FreeAll(step.victims);
  EXPECT_EQ(Try(b).kind, Step::Kind::kGranted);
  EXPECT_EQ(Try(c).kind, Step::Kind::kGranted);
}

TEST_F(ResidencyTest, WhatFitsAtOnceOvertakesForABoundedTime) {
  Load("a", 60, 1);
  const auto large = Join("large", 50);
  EXPECT_EQ(Try(large).kind, Step::Kind::kWait);
  const auto small = Join("small", 10);
  EXPECT_EQ(Try(small).kind, Step::Kind::kGranted);
  residency_->CancelReserved(residency_->Find("small"));
  now_ += seconds(2);
  const auto late = Join("late", 10);
  EXPECT_EQ(Try(late).kind, Step::Kind::kWait);
  residency_->Leave(large);
  residency_->Leave(late);
}

TEST_F(ResidencyTest, AModelInUseIsDrainedForWhoHasWaitedLongEnoughAndGoesWithItsLastLease) {
  const RecordPtr a = Load("a", 60, 1);
  const auto b = Join("b", 60);
  EXPECT_EQ(Try(b).kind, Step::Kind::kWait);
  EXPECT_EQ(a->slot->state(), kReady);
  now_ += seconds(2);
  EXPECT_EQ(Try(b).kind, Step::Kind::kWait);
  EXPECT_EQ(a->slot->state(), kDraining);
  EXPECT_FALSE(a->slot->TryLease());
  a->slot->ReleaseLease();
  const auto victims = residency_->Sweep(Now());
  ASSERT_EQ(victims.size(), 1u);
  EXPECT_EQ(victims[0].for_model, "b");
  FreeAll(victims);
  EXPECT_EQ(Try(b).kind, Step::Kind::kGranted);
}

TEST_F(ResidencyTest, ADrainingModelIsRevivedWhenTheOneItMadeRoomForLeaves) {
  const RecordPtr a = Load("a", 60, 1);
  const auto b = Join("b", 60);
  now_ += seconds(3);
  EXPECT_EQ(Try(b).kind, Step::Kind::kWait);
  ASSERT_EQ(a->slot->state(), kDraining);
  residency_->Leave(b);
  EXPECT_EQ(a->slot->state(), kReady);
  EXPECT_TRUE(a->slot->TryLease());
  EXPECT_EQ(residency_->counters().revived, 1u);
}

TEST_F(ResidencyTest, AClosedModelDrainsAndIsNeverRevived) {
  const RecordPtr a = Load("a", 60, 1);
  residency_->Close(a);
  EXPECT_EQ(residency_->Find("a"), nullptr);
  EXPECT_EQ(a->slot->state(), kDraining);
  const RecordPtr again = residency_->Insert("a");
  EXPECT_NE(again, a);
  EXPECT_TRUE(residency_->Sweep(Now()).empty());
  a->slot->ReleaseLease();
  FreeAll(residency_->Sweep(Now()));
  EXPECT_EQ(Reserved(), 0u);
  EXPECT_EQ(residency_->All().size(), 1u);
}

TEST_F(ResidencyTest, EvictionsAreCountedByReason) {
  options_.max_models = 1;
  Start(std::nullopt);
  Load("a", 10);
  Load("b", 10);
  EXPECT_THAT(freed_, ElementsAre("a"));
  EXPECT_EQ(residency_->counters().evictions[0], 1u);
}

TEST_F(ResidencyTest, AFailureIsKeptForABackOffThatDoublesUpToItsMaximum) {
  options_.retry_delay = milliseconds(500);
  options_.max_retry_delay = seconds(3);
  Start(100);
  RecordPtr record;
  for (const auto delay : {milliseconds(500), milliseconds(1000), milliseconds(2000),
                           milliseconds(3000), milliseconds(3000)}) {
    ASSERT_EQ(Try(Join("m", 50)).kind, Step::Kind::kGranted);
    record = residency_->Find("m");
    residency_->StartLoading(*record);
    const auto failed_at = Now();
    residency_->FailLoading(record, Error(ErrorCode::kInvalidFormat, "broken"), failed_at);
    ASSERT_EQ(record->slot->state(), kFailed);
    EXPECT_EQ(Reserved(), 0u);
    EXPECT_EQ(record->failure->retry_at, failed_at + delay);
  }
  Load("m", 50);
  EXPECT_FALSE(record->failure);
}

TEST_F(ResidencyTest, ACancelledLoadLeavesNoFailure) {
  ASSERT_EQ(Try(Join("m", 50)).kind, Step::Kind::kGranted);
  const RecordPtr record = residency_->Find("m");
  residency_->StartLoading(*record);
  residency_->FailLoading(record, std::nullopt, Now());
  EXPECT_EQ(record->slot->state(), kUnloaded);
  EXPECT_FALSE(record->failure);
  EXPECT_EQ(Reserved(), 0u);
}

TEST_F(ResidencyTest, AnUnderestimateTakesTheRoomOfIdleModelsOrIsSaid) {
  Load("idle", 40);
  ASSERT_EQ(Try(Join("m", 50)).kind, Step::Kind::kGranted);
  const RecordPtr record = residency_->Find("m");
  residency_->StartLoading(*record);
  const std::uint64_t missing = residency_->Settle(*record, {70, 0, 0});
  EXPECT_EQ(missing, 20u);
  EXPECT_EQ(record->reservation.bytes(), 50u);
  const Step step =
      residency_->TryAtOnce(record, {missing, 0, 0}, Now(), EvictionReason::kUnderestimate);
  ASSERT_EQ(step.kind, Step::Kind::kFree);
  EXPECT_EQ(step.victims[0].reason, EvictionReason::kUnderestimate);
  FreeAll(step.victims);
  EXPECT_EQ(residency_->Settle(*record, {70, 0, 0}), 0u);
  EXPECT_EQ(residency_->Settle(*record, {101, 0, 0}), 31u);
  residency_->PublishReady(*record, {}, 0, Now());
}

TEST_F(ResidencyTest, UnusedModelsExpire) {
  const RecordPtr a = Load("a", 10);
  const RecordPtr b = Load("b", 10);
  ModelSettings settings;
  settings.time_to_live = seconds(10);
  residency_->SetSettings("a", settings);
  Clock::TimePoint next;
  EXPECT_TRUE(residency_->Expire(Now(), &next).empty());
  EXPECT_EQ(next, Clock::TimePoint(std::chrono::nanoseconds(a->slot->last_use())) + seconds(10));
  now_ += seconds(10);
  const auto victims = residency_->Expire(Now(), &next);
  ASSERT_EQ(victims.size(), 1u);
  EXPECT_EQ(victims[0].record, a);
  EXPECT_EQ(victims[0].reason, EvictionReason::kTimeToLive);
  EXPECT_EQ(next, Clock::kNever);
  FreeAll(victims);
  EXPECT_EQ(b->slot->state(), kReady);
}

TEST_F(ResidencyTest, NeitherPinnedModelsNorThoseInUseExpire) {
  options_.time_to_live = seconds(10);
  Start(100);
  const RecordPtr pinned = Load("pinned", 10);
  const RecordPtr used = Load("used", 10, 1);
  ModelSettings settings;
  settings.pinned = true;
  residency_->SetSettings("pinned", settings);
  now_ += seconds(60);
  Clock::TimePoint next;
  EXPECT_TRUE(residency_->Expire(Now(), &next).empty());
  EXPECT_GT(next, now_);
  EXPECT_LT(next, Clock::kNever);
  used->slot->ReleaseLease();
  FreeAll(residency_->Expire(Now(), &next));
  EXPECT_THAT(freed_, ElementsAre("used"));
}

TEST_F(ResidencyTest, AModelThatIsToStayForEverDoes) {
  options_.time_to_live = seconds(10);
  Start(100);
  Load("a", 10);
  ModelSettings settings;
  settings.time_to_live = ModelSettings::kForever;
  residency_->SetSettings("a", settings);
  now_ += std::chrono::hours(1000);
  Clock::TimePoint next;
  EXPECT_TRUE(residency_->Expire(Now(), &next).empty());
}

TEST_F(ResidencyTest, EachDeviceHasALedgerOfItsOwn) {
  options_.max_device_memory["cuda:0"] = 50;
  Start(100);
  Load("host", 90);
  const RecordPtr record = residency_->Insert("gpu");
  record->device = "cuda:0";
  EXPECT_EQ(residency_->TryAtOnce(record, {51, 0, 1}, Now(), EvictionReason::kBytes).kind,
            Step::Kind::kRefused);
  EXPECT_EQ(residency_->TryAtOnce(record, {50, 0, 1}, Now(), EvictionReason::kBytes).kind,
            Step::Kind::kGranted);
  EXPECT_EQ(Reserved(), 90u);
  EXPECT_EQ(residency_->ledger("cuda:0")->reserved_bytes(), 50u);
}

// Policies of applications that make mistakes.
class BrokenPolicy final : public ResidencyPolicy {
 public:
  explicit BrokenPolicy(std::vector<std::size_t> victims) : victims_(std::move(victims)) {}
  ResidencyDecision Decide(std::span<const SlotSnapshot> slots, const ResidencyDemand&,
                           const ResidencyBudget&, ResidencyTime) const override {
    ResidencyDecision decision;
    decision.kind =
        slots.empty() ? ResidencyDecision::Kind::kGrant : ResidencyDecision::Kind::kEvict;
    decision.victims = victims_;
    return decision;
  }

 private:
  std::vector<std::size_t> victims_;
};

TEST_F(ResidencyTest, APolicyCannotEvictWhatMustStay) {
  for (const std::size_t victim : {std::size_t{0}, std::size_t{7}}) {
    residency_.emplace(options_, 100, std::make_shared<BrokenPolicy>(std::vector{victim}));
    const RecordPtr pinned = Load("pinned", 10);
    ModelSettings settings;
    settings.pinned = true;
    residency_->SetSettings("pinned", settings);
    const Step step = Try(Join("b", 10));
    EXPECT_EQ(step.kind, Step::Kind::kRefused);
    EXPECT_EQ(step.error.code(), ErrorCode::kInternal);
    EXPECT_EQ(pinned->slot->state(), kReady);
  }
}

TEST_F(ResidencyTest, APolicyThatInsistsOnAModelInUseMakesTheRequestWait) {
  residency_.emplace(options_, 100, std::make_shared<BrokenPolicy>(std::vector<std::size_t>{0}));
  const RecordPtr a = Load("a", 10, 1);
  const auto b = Join("b", 10);
  EXPECT_EQ(Try(b).kind, Step::Kind::kWait);
  EXPECT_EQ(a->slot->state(), kReady);
  residency_->Leave(b);
}

}  // namespace
}  // namespace mdsa
