// Work without the GIL that still notices Ctrl-C, and Python objects owned by C++ code.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "mdsa/model.h"
#include "mdsa/model_loader.h"

namespace mdsa::python {

namespace nb = nanobind;

// How long a signal may wait while C++ code runs.
inline constexpr std::chrono::milliseconds kSignalInterval{50};

// Runs `work` on a thread of its own while the calling thread waits without the GIL. The caller's
// thread wakes up for signals and for `progress` (None, or called with phase, bytes done, bytes
// total; updates in between are dropped). What either raises stops the work through the stop token
// and is thrown once the work has ended. Called with the GIL.
void RunLoad(const nb::object& progress, const std::function<void(const LoadOptions&)>& work);

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

  nb::object on_token_;
  bool handles_signals_;
  std::chrono::steady_clock::time_point next_signal_check_;
  std::optional<nb::python_error> raised_;
};

// A reference that any thread may drop, with or without the GIL; kept for good if the interpreter
// is gone by then.
std::shared_ptr<void> ShareObject(nb::object object);

// True if this thread holds the GIL of an interpreter that is not shutting down.
bool HoldsLiveGil();

}  // namespace mdsa::python
