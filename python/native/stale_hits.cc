#include "stale_hits.h"

#include <nanobind/nanobind.h>

#include <atomic>

namespace mdsa::python {
namespace {

namespace nb = nanobind;

std::atomic<bool> is_pending = false;

int DropStaleHits(void*) {
  is_pending = false;
  try {
    nb::module_::import_("mdsa.models.registry").attr("drop_stale_hits")();
  } catch (nb::python_error& error) {
    error.discard_as_unraisable("dropping what is kept of evicted models");
  }
  return 0;
}

}  // namespace

void NoteEvent(const ModelEvent& event) {
  if (event.kind != ModelEvent::Kind::kEvicted || !Py_IsInitialized()) return;
  if (is_pending.exchange(true)) return;
  if (Py_AddPendingCall(&DropStaleHits, nullptr) != 0) is_pending = false;
}

}  // namespace mdsa::python
