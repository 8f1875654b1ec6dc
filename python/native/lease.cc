#include "lease.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "bindings.h"
#include "error.h"
#include "gil.h"
#include "model.h"

namespace mdsa::python {
namespace {

void Release(const PyLease& self) {
  const GilRelease release;  // the last one out frees the model if it was evicted
  self.held->Release();
}

// None for an object of the application.
std::optional<PyModel> LeasedModel(const PyLease& self) {
  if (!self.held->Get()->has_model()) return std::nullopt;
  return PyModel(self.held);
}

// None for a model.
nb::object LeasedObject(const PyLease& self) {
  const auto lease = self.held->Get();
  if (lease->foreign() == nullptr) return nb::none();
  return nb::borrow(static_cast<PyObject*>(lease->foreign().get()));
}

}  // namespace

std::shared_ptr<const ModelLease> HeldLease::Get() const {
  const std::lock_guard lock(mutex_);
  if (lease_ == nullptr) {
    throw NativeError(Error(ErrorCode::kFailedPrecondition,
                            "the lease of '" + model_id_ + "' has ended; take another one"));
  }
  return lease_;
}

void HeldLease::Release() {
  std::shared_ptr<const ModelLease> released;  // given back after the lock
  const std::lock_guard lock(mutex_);
  released.swap(lease_);
}

PyLease::~PyLease() {
  if (held == nullptr) return;
  if (!HoldsLiveGil()) {
    held->Release();
    return;
  }
  Release(*this);
}

void BindLease(nb::module_& module) {
  nb::class_<PyLease>(module, "Lease")
      .def("model", &LeasedModel)
      .def("foreign", &LeasedObject)
      .def("release", &Release)
      .def("cancelled", [](const PyLease& self) { return self.held->cancelled(); });
  nb::class_<EntryRef>(module, "EntryRef")
      .def("is_ready", &EntryRef::IsReady)
      .def("lease", [](const EntryRef& self) -> std::optional<PyLease> {
        std::optional<ModelLease> lease = self.Lease();
        if (!lease) return std::nullopt;
        return PyLease(*std::move(lease));
      });
}

}  // namespace mdsa::python
