#include "registry.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "bindings.h"
#include "error.h"
#include "gil.h"
#include "lease.h"
#include "model.h"
#include "residency.h"

namespace mdsa::python {
namespace {

double ToEpochSeconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

nb::dict FromInfo(const PyRegistry& self, const ModelInfo& info) {
  nb::dict values;
  values["model_id"] = info.model_id;
  values["config"] = info.config ? nb::cast(info.config->ToJson()) : nb::none();
  values["model"] = info.model ? nb::cast(PyModel(*info.model)) : nb::object(nb::none());
  values["entry"] = info.entry ? nb::cast(*info.entry) : nb::object(nb::none());
  values["foreign"] = info.foreign ? nb::borrow(static_cast<PyObject*>(info.foreign.get()))
                                   : nb::object(nb::none());
  values["memory_mb"] = info.memory_mb;
  values["loaded_at"] = ToEpochSeconds(info.loaded_at);
  values["last_used"] = ToEpochSeconds(info.last_used);
  values["use_count"] = info.use_count;
  values["leases"] = info.leases;
  values["state"] = std::string(SlotStateName(info.state));
  values["pinned"] = info.settings.pinned;
  values["time_to_live"] =
      FromTimeToLive(info.settings.time_to_live ? info.settings.time_to_live : self.time_to_live);
  return values;
}

nb::object FromOptionalInfo(const PyRegistry& self, const std::optional<ModelInfo>& info) {
  return info ? nb::object(FromInfo(self, *info)) : nb::object(nb::none());
}

// `object` stands for the model; an entry of Python always is one.
std::vector<std::string> Register(const PyRegistry& self, std::string model_id, nb::object object,
                                  double memory_mb, std::string device) {
  ModelRegistry::Entry entry;
  entry.foreign = ShareObject(std::move(object));
  entry.memory_mb = memory_mb;
  entry.device = std::move(device);
  const GilRelease release;
  return Unwrap(self.registry->Register(std::move(model_id), std::move(entry)));
}

void MakeRoom(const PyRegistry& self, const std::string& model_id, double memory_mb,
              double allocated_mb, std::string device) {
  const GilRelease release;
  Unwrap(self.registry->MakeRoom(model_id, {memory_mb, allocated_mb, std::move(device)}));
}

// None if there is no such entry.
std::optional<PyLease> LeaseEntry(const PyRegistry& self, const std::string& model_id) {
  Result<ModelLease> lease = self.registry->Lease(model_id);
  if (!lease && lease.error().code() == ErrorCode::kNotFound) return std::nullopt;
  return PyLease(Unwrap(std::move(lease)));
}

bool Unregister(const PyRegistry& self, const std::string& model_id) {
  const GilRelease release;
  return self.registry->Unregister(model_id);
}

void Clear(const PyRegistry& self) {
  const GilRelease release;
  self.registry->Clear();
}

nb::dict GetStats(const PyRegistry& self) {
  const RegistryStats stats = self.registry->GetStats();
  nb::list models;
  for (const ModelInfo& info : stats.models) models.append(FromInfo(self, info));
  nb::dict values;
  values["models_loaded"] = stats.models_loaded;
  values["max_models"] = stats.max_models;
  values["total_memory_mb"] = stats.total_memory_mb;
  values["total_uses"] = stats.total_uses;
  values["models"] = models;
  return values;
}

int Traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  const auto* const view = nb::inst_ptr<PyRegistry>(self);
  if (!view->manager.is_valid()) return VisitObjects(*view->registry, visit, arg);
  Py_VISIT(view->manager.ptr());
  return 0;
}

int BreakCycles(PyObject* self) {
  if (!nb::inst_ready(self)) return 0;
  const auto* const view = nb::inst_ptr<PyRegistry>(self);
  if (!view->manager.is_valid()) DropObjects(*view->registry);
  return 0;
}

PyType_Slot kRegistrySlots[] = {{Py_tp_traverse, reinterpret_cast<void*>(&Traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(&BreakCycles)},
                                {0, nullptr}};

}  // namespace

int VisitObjects(const ModelRegistry& registry, visitproc visit, void* arg) {
  for (const std::string& id : registry.ListModels()) {
    const std::optional<ModelInfo> info = registry.Peek(id);
    if (info && info->foreign) Py_VISIT(static_cast<PyObject*>(info->foreign.get()));
  }
  return 0;
}

void DropObjects(ModelRegistry& registry) {
  for (const std::string& id : registry.ListModels()) {
    const std::optional<ModelInfo> info = registry.Peek(id);
    if (info && info->foreign) registry.Unregister(id);
  }
}

void BindRegistry(nb::module_& module) {
  nb::class_<PyRegistry>(module, "ModelRegistry", nb::type_slots(kRegistrySlots))
      .def(
          "__init__",
          [](PyRegistry* self, std::int64_t max_models) {
            new (self) PyRegistry(Unwrap(ModelRegistry::Create(max_models)));
          },
          nb::arg("max_models"))
      .def("register", &Register, nb::arg("model_id"), nb::arg("object"), nb::arg("memory_mb"),
           nb::arg("device"))
      .def("make_room", &MakeRoom, nb::arg("model_id"), nb::arg("memory_mb"),
           nb::arg("allocated_mb"), nb::arg("device"))
      .def("lease", &LeaseEntry, nb::arg("model_id"))
      .def(
          "get",
          [](const PyRegistry& self, const std::string& id) {
            return FromOptionalInfo(self, self.registry->Get(id));
          },
          nb::arg("model_id"))
      .def(
          "peek",
          [](const PyRegistry& self, const std::string& id) {
            return FromOptionalInfo(self, self.registry->Peek(id));
          },
          nb::arg("model_id"))
      .def(
          "is_loaded",
          [](const PyRegistry& self, const std::string& id) { return self.registry->IsLoaded(id); },
          nb::arg("model_id"))
      .def("unregister", &Unregister, nb::arg("model_id"))
      .def("clear", &Clear)
      .def("list_models", [](const PyRegistry& self) { return self.registry->ListModels(); })
      .def("get_stats", &GetStats)
      .def("__len__", [](const PyRegistry& self) { return self.registry->size(); })
      .def_prop_ro("max_models", [](const PyRegistry& self) { return self.registry->max_models(); })
      .def(
          "set_max_models",
          [](const PyRegistry& self, std::int64_t max_models) {
            Unwrap(self.registry->SetMaxModels(max_models));
          },
          nb::arg("max_models"));
}

}  // namespace mdsa::python
