#include "models/hit_table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <latch>
#include <thread>
#include <vector>

#include "support/manual_clock.h"

namespace mdsa {
namespace {

HandleBodyPtr ReadyBody(const std::string& id) {
  auto body = std::make_shared<HandleBody>();
  body->slot = std::make_shared<ModelSlot>(id);
  for (const SlotState state : {SlotState::kReserved, SlotState::kLoading, SlotState::kReady}) {
    body->slot->MoveTo(state);
  }
  return body;
}

class HitTableTest : public ::testing::Test {
 protected:
  test::ManualClock clock_;
  HitTable hits_{clock_};
  const ModelConfig config_ = ModelConfig::ForTier1();
};

TEST_F(HitTableTest, FindsWhatWasAddedByThisThreadUntilItIsRemoved) {
  const auto body = ReadyBody("m");
  EXPECT_EQ(hits_.Find("m", config_), nullptr);
  const auto added = hits_.Add(body, config_);
  EXPECT_EQ(added->slot, body->slot);
  EXPECT_EQ(hits_.Find("m", config_), added);
  hits_.Remove("m");
  EXPECT_EQ(hits_.Find("m", config_), nullptr);
}

TEST_F(HitTableTest, AThreadTakesOverFromOneThatHasEnded) {
  const auto body = ReadyBody("m");
  std::jthread([&] { hits_.Add(body, config_); }).join();
  std::jthread([&] { EXPECT_NE(hits_.Find("m", config_), nullptr); }).join();
}

TEST_F(HitTableTest, NoThreadSharesTheCopyOfOneThatStays) {
  hits_.Add(ReadyBody("m"), config_);
  for (int i = 0; i < 40; ++i) {
    std::jthread([&] { EXPECT_EQ(hits_.Find("m", config_), nullptr); }).join();
  }
}

TEST_F(HitTableTest, ServesMoreThreadsThanThereAreCopies) {
  const auto body = ReadyBody("m");
  constexpr int kThreads = 40;
  std::latch all_added(kThreads);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        hits_.Add(body, config_);
        all_added.arrive_and_wait();
        EXPECT_NE(hits_.Find("m", config_), nullptr);
      });
    }
  }
  hits_.Collect();
  EXPECT_EQ(body->slot->uses(), std::uint64_t{2 * kThreads});
}

TEST_F(HitTableTest, OnlyWithAnEqualConfiguration) {
  hits_.Add(ReadyBody("m"), config_);
  ModelConfig other = config_;
  other.quantization = QuantizationType::kInt8;
  EXPECT_EQ(hits_.Find("m", other), nullptr);
}

TEST_F(HitTableTest, OnlyWhileTheModelIsReady) {
  const auto body = ReadyBody("m");
  hits_.Add(body, config_);
  body->slot->MoveTo(SlotState::kDraining);
  EXPECT_EQ(hits_.Find("m", config_), nullptr);
  body->slot->MoveTo(SlotState::kReady);
  EXPECT_NE(hits_.Find("m", config_), nullptr);
}

TEST_F(HitTableTest, UsesOfAllThreadsArriveInTheSlot) {
  const auto body = ReadyBody("m");
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 5; ++i) {
      threads.emplace_back([&] {
        hits_.Add(body, config_);
        for (int n = 0; n < 10; ++n) EXPECT_NE(hits_.Find("m", config_), nullptr);
      });
    }
  }
  EXPECT_EQ(hits_.Collect(), 50u);
  EXPECT_EQ(body->slot->uses(), 55u);
  EXPECT_EQ(hits_.Collect(), 50u);
  EXPECT_EQ(body->slot->uses(), 55u);
}

TEST_F(HitTableTest, RemovingAnEntryLosesNoUse) {
  const auto body = ReadyBody("m");
  hits_.Add(body, config_);
  hits_.Find("m", config_);
  hits_.Remove("m");
  EXPECT_EQ(body->slot->uses(), 2u);
  hits_.Add(body, config_);
  hits_.Remove("m");
  EXPECT_EQ(body->slot->uses(), 3u);
}

TEST_F(HitTableTest, TheOrderOfUsesIsKept) {
  const auto a = ReadyBody("a");
  const auto b = ReadyBody("b");
  hits_.Add(a, config_);
  hits_.Add(b, config_);
  hits_.Find("a", config_);
  hits_.Collect();
  EXPECT_GT(a->slot->last_use(), b->slot->last_use());
  hits_.NoteUse(*b->slot);
  EXPECT_GT(b->slot->last_use(), a->slot->last_use());
}

TEST_F(HitTableTest, ARemovedHandleIsFreed) {
  auto body = ReadyBody("m");
  const std::weak_ptr<ModelSlot> slot = body->slot;
  hits_.Add(body, config_);
  body.reset();
  EXPECT_FALSE(slot.expired());
  hits_.Remove("m");
  EXPECT_TRUE(slot.expired());
}

}  // namespace
}  // namespace mdsa
