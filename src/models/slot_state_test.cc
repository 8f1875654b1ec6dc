#include "models/slot_state.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "models/model_slot.h"

namespace mdsa {
namespace {

using enum SlotState;

// Written out a second time, from the design and not from the table.
const std::set<std::pair<SlotState, SlotState>> kAllowed = {
    {kUnloaded, kReserved},  {kUnloaded, kFailed},    {kReserved, kLoading},
    {kReserved, kUnloaded},  {kLoading, kReady},      {kLoading, kFailed},
    {kLoading, kUnloading},  {kReady, kDraining},     {kDraining, kReady},
    {kDraining, kUnloading}, {kUnloading, kUnloaded}, {kFailed, kReserved},
    {kFailed, kUnloaded},
};

// A way from the beginning to each state.
ModelSlot& BringTo(ModelSlot& slot, SlotState state) {
  static const std::vector<std::vector<SlotState>> kWays = {
      {},
      {kReserved},
      {kReserved, kLoading},
      {kReserved, kLoading, kReady},
      {kReserved, kLoading, kReady, kDraining},
      {kReserved, kLoading, kReady, kDraining, kUnloading},
      {kReserved, kLoading, kFailed}};
  for (const SlotState step : kWays[static_cast<std::size_t>(state)]) slot.MoveTo(step);
  return slot;
}

TEST(SlotStateTest, EveryPairIsAllowedOrStopsTheProcess) {
  for (const SlotState from : kAllSlotStates) {
    for (const SlotState to : kAllSlotStates) {
      SCOPED_TRACE(std::string(SlotStateName(from)) + " to " + std::string(SlotStateName(to)));
      EXPECT_EQ(MayFollow(from, to), kAllowed.contains({from, to}));
      ModelSlot slot("m");
      BringTo(slot, from);
      ASSERT_EQ(slot.state(), from);
      if (kAllowed.contains({from, to})) {
        slot.MoveTo(to);
        EXPECT_EQ(slot.state(), to);
      } else {
        EXPECT_DEATH(slot.MoveTo(to), "MayFollow");
      }
    }
  }
}

TEST(SlotStateTest, EveryStateIsReachedAndLeft) {
  for (const SlotState state : kAllSlotStates) {
    bool reached = state == kUnloaded;
    bool left = false;
    for (const SlotTransition& transition : kSlotTransitions) {
      reached |= transition.to == state;
      left |= transition.from == state;
    }
    EXPECT_TRUE(reached && left) << SlotStateName(state);
  }
}

TEST(SlotStateTest, OnlyUnloadedAndFailedHoldNoMemory) {
  for (const SlotState state : kAllSlotStates) {
    EXPECT_EQ(HoldsMemory(state), state != kUnloaded && state != kFailed);
  }
}

TEST(SlotStateTest, TheDiagramOfTheDocsIsThisTable) {
  std::ifstream file(std::string(MDSA_SOURCE_DIR) + "/docs/residency.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_NE(text.str().find("```mermaid\n" + SlotStateDiagram() + "```"), std::string::npos)
      << "docs/residency.md must hold:\n"
      << SlotStateDiagram();
}

}  // namespace
}  // namespace mdsa
