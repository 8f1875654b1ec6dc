// The policy as a table: who is there, who asks, what is decided.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "mdsa/residency_policy.h"

namespace mdsa {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = ResidencyDecision::Kind;
using enum SlotState;

const ResidencyTime kNow = ResidencyTime(seconds(1000));
constexpr std::uint64_t kMb = 1'000'000;

SlotSnapshot Slot(std::string_view id, std::uint64_t mb, int used_seconds_ago) {
  SlotSnapshot slot;
  slot.id = id;
  slot.state = kReady;
  slot.bytes = slot.allocated_bytes = mb * kMb;
  slot.last_use = kNow - seconds(used_seconds_ago);
  slot.ready_since = kNow - seconds(500);
  return slot;
}

class LruPolicyTest : public ::testing::Test {
 protected:
  LruPolicyTest() {
    budget_.max_models = 10;
    budget_.max_queue_wait = seconds(60);
    demand_.id = "new";
    Ask(10);
  }
  void Ask(std::uint64_t mb) { demand_.bytes = demand_.allocated_bytes = mb * kMb; }
  void Limit(std::uint64_t mb) { budget_.limit_bytes = mb * kMb; }

  ResidencyDecision Decide() {
    budget_.reserved_bytes = budget_.transient_bytes;
    for (const SlotSnapshot& slot : slots_) {
      if (slot.device == demand_.device) budget_.reserved_bytes += slot.bytes;
    }
    return LruPolicy().Decide(slots_, demand_, budget_, kNow);
  }
  std::vector<std::string> Victims(const ResidencyDecision& decision) {
    std::vector<std::string> ids;
    for (const std::size_t i : decision.victims) ids.emplace_back(slots_[i].id);
    return ids;
  }

  std::vector<SlotSnapshot> slots_;
  ResidencyDemand demand_;
  ResidencyBudget budget_;
};

TEST_F(LruPolicyTest, NobodyGoesWhenEverythingFits) {
  Limit(30);
  slots_ = {Slot("a", 10, 900), Slot("b", 10, 800)};
  EXPECT_EQ(Decide().kind, Kind::kGrant);
}

TEST_F(LruPolicyTest, TheLeastRecentlyUsedGoesFirst) {
  budget_.max_models = 3;
  slots_ = {Slot("a", 10, 1), Slot("b", 10, 3), Slot("c", 10, 2)};
  const auto decision = Decide();
  EXPECT_EQ(decision.kind, Kind::kEvict);
  EXPECT_THAT(Victims(decision), ElementsAre("b"));
}

TEST_F(LruPolicyTest, AsManyAsNeededByBytes) {
  Limit(40);
  Ask(25);
  slots_ = {Slot("a", 10, 3), Slot("b", 10, 2), Slot("c", 10, 1)};
  EXPECT_THAT(Victims(Decide()), ElementsAre("a", "b"));
}

TEST_F(LruPolicyTest, AVictimThatTurnsOutToBeUnnecessaryIsSpared) {
  Limit(100);
  Ask(60);
  slots_ = {Slot("small", 5, 3), Slot("large", 60, 2), Slot("recent", 30, 1)};
  EXPECT_THAT(Victims(Decide()), ElementsAre("large"));
}

TEST_F(LruPolicyTest, BothLimitsCountTogether) {
  budget_.max_models = 3;
  Limit(100);
  Ask(50);
  slots_ = {Slot("a", 1, 3), Slot("b", 60, 2), Slot("c", 1, 1)};
  // b alone makes room for both a model and its bytes.
  EXPECT_THAT(Victims(Decide()), ElementsAre("b"));
}

TEST_F(LruPolicyTest, ModelsInUseAreNoVictims) {
  budget_.max_models = 2;
  slots_ = {Slot("used", 10, 9), Slot("idle", 10, 1)};
  slots_[0].leases = 1;
  EXPECT_THAT(Victims(Decide()), ElementsAre("idle"));
  slots_[1].leases = 2;
  const auto decision = Decide();
  EXPECT_EQ(decision.kind, Kind::kWait);
  EXPECT_THAT(decision.reason, HasSubstr("'used' (10 MB, in use by 1 call)"));
  EXPECT_THAT(decision.reason, HasSubstr("'idle' (10 MB, in use by 2 calls)"));
}

TEST_F(LruPolicyTest, ModelsThatLoadAreNoVictims) {
  budget_.max_models = 1;
  slots_ = {Slot("loading", 10, 9)};
  for (const SlotState state : {kReserved, kLoading}) {
    slots_[0].state = state;
    EXPECT_EQ(Decide().kind, Kind::kWait);
  }
}

TEST_F(LruPolicyTest, PinnedModelsAreNoVictimsOfAnything) {
  budget_.max_models = 2;
  slots_ = {Slot("pinned", 10, 9), Slot("other", 10, 1)};
  slots_[0].pinned = true;
  slots_[0].time_to_live = seconds(1);
  EXPECT_THAT(Victims(Decide()), ElementsAre("other"));
}

TEST_F(LruPolicyTest, WhatPinsMakeImpossibleIsRefusedAtOnceNamingThem) {
  budget_.max_models = 1;
  slots_ = {Slot("pinned", 10, 9)};
  slots_[0].pinned = true;
  auto decision = Decide();
  EXPECT_EQ(decision.kind, Kind::kRefuse);
  EXPECT_THAT(decision.reason, HasSubstr("'pinned' (10 MB, pinned)"));

  budget_.max_models = 5;
  Limit(100);
  Ask(95);
  slots_.push_back(Slot("other", 20, 1));
  decision = Decide();
  EXPECT_EQ(decision.kind, Kind::kRefuse);
  EXPECT_THAT(decision.reason, HasSubstr("Insufficient memory"));
  EXPECT_THAT(decision.reason, HasSubstr("needs 95 MB"));
  EXPECT_THAT(decision.reason, Not(HasSubstr("other")));
}

TEST_F(LruPolicyTest, WhatIsLargerThanTheLimitIsRefusedAndNobodyGoes) {
  Limit(100);
  Ask(101);
  slots_ = {Slot("a", 10, 9)};
  const auto decision = Decide();
  EXPECT_EQ(decision.kind, Kind::kRefuse);
  EXPECT_THAT(decision.victims, IsEmpty());
}

TEST_F(LruPolicyTest, WhatIsLeavingAlreadyIsWaitedFor) {
  budget_.max_models = 2;
  slots_ = {Slot("leaving", 10, 1), Slot("idle", 10, 9)};
  for (const SlotState state : {kDraining, kUnloading}) {
    slots_[0].state = state;
    EXPECT_EQ(Decide().kind, Kind::kWait);
  }
}

TEST_F(LruPolicyTest, ExpiredModelsGoBeforeOlderOnes) {
  budget_.max_models = 2;
  slots_ = {Slot("old", 10, 90), Slot("expired", 10, 20)};
  slots_[1].time_to_live = seconds(10);
  EXPECT_THAT(Victims(Decide()), ElementsAre("expired"));
}

TEST_F(LruPolicyTest, AYoungModelStays) {
  budget_.max_models = 1;
  budget_.min_residency = seconds(30);
  slots_ = {Slot("young", 10, 1)};
  slots_[0].ready_since = kNow - seconds(12);
  const auto decision = Decide();
  EXPECT_EQ(decision.kind, Kind::kWait);
  EXPECT_EQ(decision.look_again, kNow + seconds(18));
  EXPECT_THAT(decision.reason, HasSubstr("ready too short a time"));
}

TEST_F(LruPolicyTest, AfterTheBoundOnWaitingModelsInUseAreDrained) {
  budget_.max_models = 2;
  budget_.max_queue_wait = seconds(5);
  slots_ = {Slot("recent", 10, 1), Slot("lru", 10, 9)};
  slots_[0].leases = slots_[1].leases = 1;
  demand_.waited = seconds(4);
  auto decision = Decide();
  EXPECT_EQ(decision.kind, Kind::kWait);
  EXPECT_EQ(decision.look_again, kNow + seconds(1));
  demand_.waited = seconds(5);
  decision = Decide();
  EXPECT_EQ(decision.kind, Kind::kDrain);
  EXPECT_THAT(Victims(decision), ElementsAre("lru"));
}

TEST_F(LruPolicyTest, PinnedModelsAreNotDrainedEither) {
  budget_.max_models = 2;
  budget_.max_queue_wait = seconds(5);
  demand_.waited = seconds(9);
  slots_ = {Slot("pinned", 10, 9), Slot("other", 10, 1)};
  slots_[0].pinned = true;
  slots_[0].leases = slots_[1].leases = 1;
  EXPECT_THAT(Victims(Decide()), ElementsAre("other"));
}

TEST_F(LruPolicyTest, OtherDevicesCountAsModelsButNotAsBytes) {
  Limit(100);
  Ask(50);
  slots_ = {Slot("gpu", 500, 9), Slot("cpu", 60, 1)};
  slots_[0].device = "cuda:0";
  EXPECT_THAT(Victims(Decide()), ElementsAre("cpu"));
  budget_.max_models = 2;
  // Now one of them has to go by count, and "cpu" serves both ends.
  EXPECT_THAT(Victims(Decide()), ElementsAre("cpu"));
  Ask(30);
  EXPECT_THAT(Victims(Decide()), ElementsAre("gpu"));
}

TEST_F(LruPolicyTest, WhatTheMachineHasLeftIsALimitToo) {
  budget_.machine_bytes = 15 * kMb;
  Ask(20);
  slots_ = {Slot("mapped", 50, 9), Slot("allocated", 50, 1)};
  slots_[0].allocated_bytes = 0;  // page cache: its end makes no room
  EXPECT_THAT(Victims(Decide()), ElementsAre("allocated"));
  Ask(200);
  const auto decision = Decide();
  EXPECT_EQ(decision.kind, Kind::kRefuse);
  EXPECT_THAT(decision.reason, HasSubstr("15 MB are available"));
}

TEST_F(LruPolicyTest, ACallEvictsOthersButNeverItsOwnModelAndNeverDrains) {
  Limit(100);
  demand_.id = "mine";
  demand_.models = 0;
  budget_.max_models = 2;  // full, which does not matter to a call
  Ask(30);
  slots_ = {Slot("mine", 60, 9), Slot("other", 30, 1)};
  slots_[0].leases = 1;
  EXPECT_THAT(Victims(Decide()), ElementsAre("other"));
  slots_[1].leases = 1;
  demand_.waited = seconds(100);
  EXPECT_EQ(Decide().kind, Kind::kWait);
  Ask(50);
  EXPECT_EQ(Decide().kind, Kind::kRefuse);
}

TEST_F(LruPolicyTest, WhatRunningCallsHoldIsWaitedFor) {
  Limit(100);
  Ask(60);
  slots_ = {Slot("mine", 40, 1)};
  slots_[0].pinned = true;
  budget_.transient_bytes = 20 * kMb;
  EXPECT_EQ(Decide().kind, Kind::kWait);
  budget_.transient_bytes = 0;
  EXPECT_EQ(Decide().kind, Kind::kGrant);
}

// Of many random situations: a grant fits; victims are enough, allowed, and none could be spared; a
// wait had no choice; and whoever may go is as old as possible by count.
TEST_F(LruPolicyTest, DecisionsAreSoundMinimalAndNecessary) {
  std::minstd_rand random(1);
  int evictions = 0;
  for (int round = 0; round < 20'000; ++round) {
    slots_.clear();
    static const std::vector<std::string> kNames = {"a", "b", "c", "d", "e", "f"};
    const std::size_t count = random() % 7;
    for (std::size_t i = 0; i < count; ++i) {
      SlotSnapshot slot = Slot(kNames[i], 1 + random() % 40, static_cast<int>(1 + i));
      slot.state = std::vector{kReady, kReady, kReady, kReady, kLoading, kDraining}[random() % 6];
      slot.leases = slot.state == kReady && random() % 3 == 0 ? 1 : 0;
      slot.pinned = random() % 5 == 0;
      slots_.push_back(slot);
    }
    std::ranges::shuffle(slots_, random);
    budget_.max_models = static_cast<std::int64_t>(std::max<std::size_t>(1 + random() % 7, count));
    Limit(40 + random() % 120);
    Ask(1 + random() % 60);
    const auto decision = Decide();
    const auto fits_without = [&](const std::vector<std::size_t>& gone) {
      std::uint64_t bytes = budget_.reserved_bytes + demand_.bytes;
      for (const std::size_t i : gone) bytes -= slots_[i].bytes;
      return std::ssize(slots_) - std::ssize(gone) + 1 <= budget_.max_models &&
             bytes <= *budget_.limit_bytes;
    };
    std::vector<std::size_t> leaving;
    std::vector<std::size_t> may_go;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].state == kDraining) leaving.push_back(i);
      if (slots_[i].state == kReady && !slots_[i].pinned && slots_[i].leases == 0) {
        may_go.push_back(i);
      }
    }
    ASSERT_EQ(decision.kind == Kind::kGrant, fits_without({}));
    std::vector<std::size_t> all = leaving;
    all.insert(all.end(), may_go.begin(), may_go.end());
    if (decision.kind == Kind::kWait || decision.kind == Kind::kRefuse) {
      ASSERT_TRUE(!fits_without(all) || fits_without(leaving));
    }
    if (decision.kind != Kind::kEvict) continue;
    ++evictions;
    std::vector<std::size_t> gone = leaving;
    gone.insert(gone.end(), decision.victims.begin(), decision.victims.end());
    ASSERT_TRUE(fits_without(gone));
    ASSERT_FALSE(fits_without(leaving));
    for (const std::size_t victim : decision.victims) {
      ASSERT_TRUE(std::ranges::count(may_go, victim) == 1);
      std::vector<std::size_t> spared = gone;
      std::erase(spared, victim);
      ASSERT_FALSE(fits_without(spared));
    }
  }
  EXPECT_GT(evictions, 1000);
}

}  // namespace
}  // namespace mdsa
