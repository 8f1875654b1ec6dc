#include "models/slot_state.h"

#include <fmt/format.h>

#include <cctype>

namespace mdsa {
namespace {

std::string Capitalized(SlotState state) {
  std::string name(SlotStateName(state));
  name.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(name.front())));
  return name;
}

}  // namespace

std::string_view SlotStateName(SlotState state) {
  switch (state) {
    case SlotState::kUnloaded:
      return "unloaded";
    case SlotState::kReserved:
      return "reserved";
    case SlotState::kLoading:
      return "loading";
    case SlotState::kReady:
      return "ready";
    case SlotState::kDraining:
      return "draining";
    case SlotState::kUnloading:
      return "unloading";
    case SlotState::kFailed:
      return "failed";
  }
  return "unknown";
}

std::string SlotStateDiagram() {
  std::string diagram = "stateDiagram-v2\n    [*] --> Unloaded\n";
  for (const SlotTransition& transition : kSlotTransitions) {
    diagram += fmt::format("    {} --> {}: {}\n", Capitalized(transition.from),
                           Capitalized(transition.to), transition.when);
  }
  return diagram;
}

}  // namespace mdsa
