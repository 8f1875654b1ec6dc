#include "gil.h"

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace mdsa::python {
namespace {

bool IsFinalizing() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing();
#else
  return _Py_IsFinalizing();
#endif
}

// Only the main thread runs signal handlers.
bool OnMainThread() {
  const nb::object main = nb::module_::import_("threading").attr("main_thread")();
  return nb::cast<unsigned long>(main.attr("ident")) == PyThread_get_thread_ident();
}

struct ProgressUpdate {
  std::string phase;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
};

// What the loading threads tell the waiting one.
struct LoadState {
  std::mutex mutex;
  std::condition_variable finished_changed;
  bool finished = false;
  std::optional<ProgressUpdate> update;  // not yet delivered
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
    const nb::gil_scoped_acquire gil;
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

void RunLoad(const nb::object& progress, const std::function<void(const LoadOptions&)>& work) {
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
    const nb::gil_scoped_release release;
    const std::jthread worker([&] {
      work(options);
      const std::lock_guard lock(state.mutex);
      state.finished = true;
      state.finished_changed.notify_one();
    });
    WaitForWork(state, progress, stop, raised);
  }
  if (raised) throw nb::python_error(std::move(*raised));
}

TokenCallback::TokenCallback(nb::object on_token)
    : on_token_(std::move(on_token)),
      handles_signals_(OnMainThread()),
      next_signal_check_(std::chrono::steady_clock::now() + kSignalInterval) {}

TokenSink TokenCallback::sink() {
  if (on_token_.is_none() && !handles_signals_) return {};
  return [this](TokenId id) { return Call(id); };
}

bool TokenCallback::Call(TokenId id) {
  const auto now = std::chrono::steady_clock::now();
  const bool check_signals = handles_signals_ && now >= next_signal_check_;
  if (on_token_.is_none() && !check_signals) return true;
  const nb::gil_scoped_acquire gil;
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
    const PyGILState_STATE state = PyGILState_Ensure();
    Py_DECREF(owned);
    PyGILState_Release(state);
  });
}

bool HoldsLiveGil() { return Py_IsInitialized() && !IsFinalizing() && PyGILState_Check(); }

}  // namespace mdsa::python
