#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <memory>
#include <optional>
#include <string>

#include "bindings.h"
#include "convert.h"
#include "error.h"
#include "gil.h"
#include "mdsa/model_manager.h"
#include "model.h"
#include "registry.h"

namespace mdsa::python {
namespace {

struct PyManager {
  explicit PyManager(std::shared_ptr<ModelManager> owned) : manager(std::move(owned)) {}
  PyManager(const PyManager&) = delete;
  PyManager& operator=(const PyManager&) = delete;
  ~PyManager() { DropWithoutGil(manager); }  // it waits for loads, which may free Python objects

  std::shared_ptr<ModelManager> manager;
};

PyModel GetOrLoad(const PyManager& self, const std::string& model_id,
                  const std::string& config_json, const nb::object& progress) {
  const ModelConfig config = ToConfig(config_json);
  std::optional<Result<ModelHandle>> result;
  RunInterruptibly(progress, [&](const LoadOptions& options) {
    result = self.manager->GetOrLoad(model_id, config, options);
  });
  return PyModel(Unwrap(*std::move(result)));
}

bool Unload(const PyManager& self, const std::string& model_id) {
  const GilRelease release;
  return self.manager->Unload(model_id);
}

void ClearAll(const PyManager& self) {
  const GilRelease release;
  self.manager->ClearAll();
}

int Traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  return VisitObjects(nb::inst_ptr<PyManager>(self)->manager->registry(), visit, arg);
}

int BreakCycles(PyObject* self) {
  if (nb::inst_ready(self)) DropObjects(nb::inst_ptr<PyManager>(self)->manager->registry());
  return 0;
}

PyType_Slot kManagerSlots[] = {{Py_tp_traverse, reinterpret_cast<void*>(&Traverse)},
                               {Py_tp_clear, reinterpret_cast<void*>(&BreakCycles)},
                               {0, nullptr}};

}  // namespace

void BindManager(nb::module_& module) {
  nb::class_<PyManager>(module, "ModelManager", nb::type_slots(kManagerSlots))
      .def(
          "__init__",
          [](PyManager* self, std::int64_t max_models, const std::optional<nb::bytes>& cache_dir) {
            ModelManager::Options options;
            options.max_models = max_models;
            options.cache_dir = ToPath(cache_dir);
            new (self) PyManager(Unwrap(ModelManager::Create(options)));
          },
          nb::arg("max_models"), nb::arg("cache_dir").none() = nb::none())
      .def("get_or_load", &GetOrLoad, nb::arg("model_id"), nb::arg("config_json"),
           nb::arg("progress").none() = nb::none())
      .def("unload", &Unload, nb::arg("model_id"))
      .def("clear_all", &ClearAll)
      .def("registry", [](const nb::object& self) {
        const auto& manager = nb::cast<const PyManager&>(self).manager;
        return PyRegistry(std::shared_ptr<ModelRegistry>(manager, &manager->registry()), self);
      });
}

}  // namespace mdsa::python
