#include "gil.h"

#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "bindings.h"
#include "error.h"

namespace mdsa::python {
namespace {

bool IsFinalizing() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing();
#else
  return _Py_IsFinalizing();
#endif
}

[[noreturn]] void StopThreadForGood() noexcept {
  while (true) pause();
}

// `take` may end this thread by unwinding it when the interpreter shuts down. What is caught here
// is that unwinding, which must not leave the handler.
template <typename Take>
auto TakeGil(const Take& take) noexcept {
  if (IsFinalizing()) StopThreadForGood();
  try {
    return take();
  } catch (...) {
    StopThreadForGood();
  }
}

// All calls in progress. Never destroyed: threads may use it until the process is gone.
struct Calls {
  std::mutex mutex;
  std::condition_variable changed;
  int active = 0;
  std::thread::id last_thread;  // the one that ends the process; written before `stop`
  std::stop_source stop;
};

Calls& AllCalls() {
  static auto* const calls = new Calls;
  return *calls;
}

// With the GIL. Once the process ends, other threads do not come back to Python: whatever they ran
// there might end them inside frames of C++.
void StopHereAtTheEnd() noexcept {
  const Calls& calls = AllCalls();
  if (!calls.stop.stop_requested() || calls.last_thread == std::this_thread::get_id()) return;
  PyEval_SaveThread();
  StopThreadForGood();
}

// Only the main thread runs signal handlers.
bool OnMainThread() {
  const nb::object main = nb::module_::import_("threading").attr("main_thread")();
  return nb::cast<unsigned long>(main.attr("ident")) == PyThread_get_thread_ident();
}

int& CallsOfThisThread() {
  thread_local int depth = 0;
  return depth;
}

struct ProgressUpdate {
  std::string phase;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
};

// What the working thread tells the waiting one.
struct LoadState {
  std::mutex mutex;
  std::condition_variable finished_changed;
  bool finished = false;
  std::optional<ProgressUpdate> update;  // not yet delivered
  std::exception_ptr error;              // what the work threw
};

// With the GIL.
void DeliverProgress(LoadState& state, const nb::object& progress) {
  std::optional<ProgressUpdate> update;
  {
    const std::lock_guard lock(state.mutex);
    update.swap(state.update);
  }
  if (update) progress(update->phase.c_str(), update->bytes_done, update->bytes_total);
}

// Without the GIL, until the work has ended. `raised` becomes what a signal handler or `progress`
// raised.
void WaitForWork(LoadState& state, const nb::object& progress, std::stop_source& stop,
                 std::optional<nb::python_error>& raised) {
  for (bool finished = false; !finished;) {
    {
      std::unique_lock lock(state.mutex);
      finished =
          state.finished_changed.wait_for(lock, kSignalInterval, [&] { return state.finished; });
    }
    if (raised) continue;
    if (AllCalls().stop.stop_requested()) stop.request_stop();
    const GilAcquire gil;
    try {
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
      DeliverProgress(state, progress);
    } catch (nb::python_error& error) {
      raised.emplace(std::move(error));
      stop.request_stop();
    }
  }
}

}  // namespace

GilRelease::~GilRelease() {
  TakeGil([this] {
    PyEval_RestoreThread(state_);
    return 0;
  });
}

GilAcquire::GilAcquire() : state_(TakeGil([] { return PyGILState_Ensure(); })) {}

ActiveCall::ActiveCall() {
  Calls& calls = AllCalls();
  StopHereAtTheEnd();
  if (calls.stop.stop_requested()) {
    throw NativeError(Error(ErrorCode::kCancelled, "the interpreter is shutting down"));
  }
  ++CallsOfThisThread();
  const std::lock_guard lock(calls.mutex);
  ++calls.active;
}

ActiveCall::~ActiveCall() {
  --CallsOfThisThread();
  Calls& calls = AllCalls();
  {
    const std::lock_guard lock(calls.mutex);
    --calls.active;
    calls.changed.notify_all();
  }
  StopHereAtTheEnd();
}

std::stop_token ActiveCall::stop() { return AllCalls().stop.get_token(); }

bool ActiveCall::OnThisThread() { return CallsOfThisThread() > 0; }

void StopCalls(std::chrono::milliseconds patience) {
  Calls& calls = AllCalls();
  std::unique_lock lock(calls.mutex);
  calls.last_thread = std::this_thread::get_id();
  calls.stop.request_stop();
  calls.changed.wait_for(lock, patience, [&] { return calls.active == 0; });
}

void RunInterruptibly(const nb::object& progress,
                      const std::function<void(const LoadOptions&)>& work) {
  const ActiveCall active;
  LoadState state;
  std::stop_source stop;
  LoadOptions options;
  options.stop = stop.get_token();
  if (!progress.is_none()) {
    options.on_progress = [&state](const LoadProgress& now) {
      const std::lock_guard lock(state.mutex);
      state.update = {std::string(now.phase), now.bytes_done, now.bytes_total};
    };
  }
  std::optional<nb::python_error> raised;
  {
    const GilRelease release;
    const std::jthread worker([&] {
      std::exception_ptr error;
      try {
        work(options);
      } catch (...) {
        error = std::current_exception();
      }
      const std::lock_guard lock(state.mutex);
      state.error = std::move(error);
      state.finished = true;
      state.finished_changed.notify_one();
    });
    WaitForWork(state, progress, stop, raised);
  }
  if (raised) throw nb::python_error(std::move(*raised));
  if (state.error) std::rethrow_exception(state.error);
}

void RunCall(bool takes_long, const std::function<void(std::stop_token)>& work) {
  if (takes_long && OnMainThread()) {
    RunInterruptibly(nb::none(), [&](const LoadOptions& options) { work(options.stop); });
    return;
  }
  const ActiveCall active;
  const GilRelease release;
  work(ActiveCall::stop());
}

TokenCallback::TokenCallback(nb::object on_token)
    : on_token_(std::move(on_token)),
      handles_signals_(OnMainThread()),
      next_signal_check_(std::chrono::steady_clock::now() + kSignalInterval) {}

TokenSink TokenCallback::sink() {
  return [this](TokenId id) { return Call(id); };
}

bool TokenCallback::Call(TokenId id) {
  if (AllCalls().stop.stop_requested()) return false;
  const auto now = std::chrono::steady_clock::now();
  const bool check_signals = handles_signals_ && now >= next_signal_check_;
  if (on_token_.is_none() && !check_signals) return true;
  const GilAcquire gil;
  try {
    if (check_signals) {
      next_signal_check_ = now + kSignalInterval;
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
    }
    return on_token_.is_none() || on_token_(id).ptr() != Py_False;
  } catch (nb::python_error& error) {
    raised_.emplace(std::move(error));
    return false;
  }
}

void TokenCallback::Rethrow() {
  if (raised_) throw nb::python_error(std::move(*raised_));
}

std::shared_ptr<void> ShareObject(nb::object object) {
  return std::shared_ptr<void>(object.release().ptr(), [](void* pointer) {
    auto* const owned = static_cast<PyObject*>(pointer);
    if (!Py_IsInitialized()) return;
    if (PyGILState_Check()) {
      Py_DECREF(owned);
      return;
    }
    if (IsFinalizing()) return;  // waiting for the GIL now would block this thread for ever
    const GilAcquire gil;
    Py_DECREF(owned);
  });
}

bool HoldsLiveGil() { return Py_IsInitialized() && !IsFinalizing() && PyGILState_Check(); }

void BindShutdown(nb::module_& module) {
  module.def(
      "stop_calls",
      [](double seconds) {
        const GilRelease release;
        StopCalls(std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000)));
      },
      nb::arg("seconds"));
}

}  // namespace mdsa::python
