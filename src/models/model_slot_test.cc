#include "models/model_slot.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace mdsa {
namespace {

using enum SlotState;

void MakeReady(ModelSlot& slot) {
  for (const SlotState state : {kReserved, kLoading, kReady}) slot.MoveTo(state);
}

TEST(ModelSlotTest, OnlyAReadyModelIsLeased) {
  ModelSlot slot("m");
  EXPECT_FALSE(slot.TryLease());
  slot.MoveTo(kReserved);
  EXPECT_FALSE(slot.TryLease());
  slot.MoveTo(kLoading);
  EXPECT_FALSE(slot.TryLease());
  slot.MoveTo(kReady);
  EXPECT_TRUE(slot.TryLease());
  slot.MoveTo(kDraining);
  EXPECT_FALSE(slot.TryLease());
  EXPECT_EQ(slot.leases(), 1);
}

TEST(ModelSlotTest, LeasesMayBeTakenWithThePublication) {
  ModelSlot slot("m");
  slot.MoveTo(kReserved);
  slot.MoveTo(kLoading);
  slot.MoveTo(kReady, 3);
  EXPECT_EQ(slot.leases(), 3);
}

TEST(ModelSlotTest, UnloadingBeginsOnlyWithoutLeases) {
  ModelSlot slot("m");
  MakeReady(slot);
  EXPECT_FALSE(slot.TryBeginUnloading());
  ASSERT_TRUE(slot.TryLease());
  slot.MoveTo(kDraining);
  EXPECT_FALSE(slot.TryBeginUnloading());
  const ModelSlot::Released left = slot.ReleaseLease();
  EXPECT_EQ(left.leases, 0);
  EXPECT_EQ(left.state, kDraining);
  EXPECT_TRUE(slot.TryBeginUnloading());
  EXPECT_EQ(slot.state(), kUnloading);
}

TEST(ModelSlotTest, AReleaseWithoutALeaseIsADefect) {
  ModelSlot slot("m");
  EXPECT_DEATH(slot.ReleaseLease(), "LeasesOf");
}

TEST(ModelSlotTest, RecencyNeverGoesBack) {
  ModelSlot slot("m");
  slot.NoteUse(10);
  slot.NoteUse(5);
  EXPECT_EQ(slot.last_use(), 10);
  EXPECT_EQ(slot.uses(), 2u);
  slot.NoteUse(11, 0);
  EXPECT_EQ(slot.last_use(), 11);
  EXPECT_EQ(slot.uses(), 2u);
}

// Threads lease and return while another drains and revives: a lease is never granted to a model
// that is being freed.
TEST(ModelSlotTest, LeasesAndEvictionExcludeEachOther) {
  ModelSlot slot("m");
  MakeReady(slot);
  std::atomic<int> object_alive = 1;
  std::atomic<bool> done = false;
  std::atomic<int> granted = 0;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 3; ++i) {
      callers.emplace_back([&] {
        while (!done) {
          if (!slot.TryLease()) continue;
          EXPECT_EQ(object_alive.load(), 1);
          ++granted;
          slot.ReleaseLease();
        }
      });
    }
    while (granted == 0) std::this_thread::yield();
    for (int evictions = 0; evictions < 300;) {
      slot.MoveTo(kDraining);
      if (!slot.TryBeginUnloading()) {
        slot.MoveTo(kReady);
        continue;
      }
      object_alive = 0;
      ++evictions;
      slot.MoveTo(kUnloaded);
      slot.MoveTo(kReserved);
      slot.MoveTo(kLoading);
      object_alive = 1;
      slot.MoveTo(kReady);
    }
    done = true;
  }
  EXPECT_EQ(slot.leases(), 0);
}

}  // namespace
}  // namespace mdsa
