// Work without the GIL that still notices Ctrl-C, and Python objects owned by C++ code.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include "mdsa/model.h"
#include "mdsa/model_loader.h"

namespace mdsa::python {

namespace nb = nanobind;

// How long a signal may wait while C++ code runs.
inline constexpr std::chrono::milliseconds kSignalInterval{50};

// The GIL given up for a scope. A thread that would take it back from an interpreter that shuts
// down stops there for good: CPython would end the thread in the middle of C++ frames, which ends
// the process.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease();
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* const state_;
};

// The GIL taken for a scope, on any thread; with an interpreter that shuts down as GilRelease.
class GilAcquire {
 public:
  GilAcquire();
  ~GilAcquire() { PyGILState_Release(state_); }
  GilAcquire(const GilAcquire&) = delete;
  GilAcquire& operator=(const GilAcquire&) = delete;

 private:
  PyGILState_STATE state_;
};

// A call in progress that StopCalls waits for. Made and destroyed on the calling thread, with the
// GIL. After StopCalls, the thread that called it gets NativeError (kCancelled) from here; any
// other stays in here for good.
class ActiveCall {
 public:
  ActiveCall();
  ~ActiveCall();
  // Requested by StopCalls.
  static std::stop_token stop();
  // Whether this thread is in the middle of one: a callback of a call asks.
  static bool OnThisThread();
  ActiveCall(const ActiveCall&) = delete;
  ActiveCall& operator=(const ActiveCall&) = delete;
};

// For the end of the process: asks all calls to stop, refuses new ones, and waits for those in
// progress, but no longer than `patience`. Without the GIL.
void StopCalls(std::chrono::milliseconds patience);

// Runs `work` on a thread of its own while the calling thread waits without the GIL. The caller's
// thread wakes up for signals and for `progress` (None, or called with phase, bytes done, bytes
// total; updates in between are dropped). What either raises stops the work through the stop token
// and is thrown once the work has ended, as is what `work` throws. Called with the GIL.
void RunInterruptibly(const nb::object& progress,
                      const std::function<void(const LoadOptions&)>& work);

// For calls without callbacks. Those that take long run as RunInterruptibly does where this thread
// handles signals; the others run here, undisturbed, and stop only at the end of the process.
void RunCall(bool takes_long, const std::function<void(std::stop_token)>& work);

// The token sink of a generation on the calling thread. Calls `on_token` (None, or called with the
// id; False ends the generation) and looks for signals. Made, asked and destroyed with the GIL;
// sink() is for use without it.
class TokenCallback {
 public:
  explicit TokenCallback(nb::object on_token);
  TokenSink sink();
  // Throws what the callback or a signal handler raised, if anything.
  void Rethrow();

 private:
  bool Call(TokenId id);

  const ActiveCall active_;
  nb::object on_token_;
  bool handles_signals_;
  std::chrono::steady_clock::time_point next_signal_check_;
  std::optional<nb::python_error> raised_;
};

// A reference that any thread may drop, with or without the GIL; kept for good if the interpreter
// is gone by then.
std::shared_ptr<void> ShareObject(nb::object object);

// Drops what `owner` holds, without the GIL where this thread has it: freeing weights takes time.
template <typename Owner>
void DropWithoutGil(Owner& owner);  // below

// True if this thread holds the GIL of an interpreter that is not shutting down.
bool HoldsLiveGil();

template <typename Owner>
void DropWithoutGil(Owner& owner) {
  if (!HoldsLiveGil()) return;
  const GilRelease release;
  owner = Owner();
}

}  // namespace mdsa::python
