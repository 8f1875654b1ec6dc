// The one table of which state of a model may follow which.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "mdsa/residency_policy.h"

namespace mdsa {

inline constexpr std::array<SlotState, kSlotStates> kAllSlotStates = {
    SlotState::kUnloaded, SlotState::kReserved,  SlotState::kLoading, SlotState::kReady,
    SlotState::kDraining, SlotState::kUnloading, SlotState::kFailed};

struct SlotTransition {
  SlotState from;
  SlotState to;
  const char* when;  // for the diagram
};

inline constexpr std::array kSlotTransitions = {
    SlotTransition{SlotState::kUnloaded, SlotState::kReserved, "bytes granted"},
    SlotTransition{SlotState::kUnloaded, SlotState::kFailed, "checkpoint cannot be described"},
    SlotTransition{SlotState::kReserved, SlotState::kLoading, "loader called"},
    SlotTransition{SlotState::kReserved, SlotState::kUnloaded, "cancelled"},
    SlotTransition{SlotState::kLoading, SlotState::kReady, "settled to the measured size"},
    SlotTransition{SlotState::kLoading, SlotState::kFailed, "loader failed"},
    SlotTransition{SlotState::kLoading, SlotState::kUnloading, "cancelled"},
    SlotTransition{SlotState::kReady, SlotState::kDraining, "evicted or unloaded"},
    SlotTransition{SlotState::kDraining, SlotState::kReady, "revived"},
    SlotTransition{SlotState::kDraining, SlotState::kUnloading, "last lease returned"},
    SlotTransition{SlotState::kUnloading, SlotState::kUnloaded, "memory given back"},
    SlotTransition{SlotState::kFailed, SlotState::kReserved, "retried"},
    SlotTransition{SlotState::kFailed, SlotState::kUnloaded, "forgotten"},
};

constexpr bool MayFollow(SlotState from, SlotState to) {
  for (const SlotTransition& transition : kSlotTransitions) {
    if (transition.from == from && transition.to == to) return true;
  }
  return false;
}

// Whether a model in this state holds bytes of the ledger and counts as resident.
constexpr bool HoldsMemory(SlotState state) {
  return state != SlotState::kUnloaded && state != SlotState::kFailed;
}

// The table as a Mermaid state diagram, as docs/residency.md shows it.
std::string SlotStateDiagram();

}  // namespace mdsa
