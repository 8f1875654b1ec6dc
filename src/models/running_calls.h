// Which models the current thread is in the middle of a call of.
#pragma once

#include <algorithm>
#include <vector>

#include "models/model_slot.h"

namespace mdsa {

inline std::vector<const ModelSlot*>& CallsOfThisThread() {
  thread_local std::vector<const ModelSlot*> calls;
  return calls;
}

// Whoever waits on this thread for the slot to be idle would wait for itself.
inline bool RunsOnThisThread(const ModelSlot& slot) {
  return std::ranges::count(CallsOfThisThread(), &slot) > 0;
}

// From construction to destruction, on one thread.
class RunningCall {
 public:
  explicit RunningCall(const ModelSlot& slot) { CallsOfThisThread().push_back(&slot); }
  ~RunningCall() { CallsOfThisThread().pop_back(); }
  RunningCall(const RunningCall&) = delete;
  RunningCall& operator=(const RunningCall&) = delete;
};

// Whoever frees an object runs its destructor, which may be the application's and call the manager.
inline int& FreeingOfThisThread() {
  thread_local int depth = 0;
  return depth;
}
inline bool FreesOnThisThread() { return FreeingOfThisThread() > 0; }

class Freeing {
 public:
  Freeing() { ++FreeingOfThisThread(); }
  ~Freeing() { --FreeingOfThisThread(); }
  Freeing(const Freeing&) = delete;
  Freeing& operator=(const Freeing&) = delete;
};

}  // namespace mdsa
