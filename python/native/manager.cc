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
  std::shared_ptr<ModelManager> manager;
};

PyModel GetOrLoad(const PyManager& self, const std::string& model_id,
                  const std::string& config_json, const nb::object& progress) {
  const ModelConfig config = ToConfig(config_json);
  std::optional<Result<ModelHandle>> result;
  RunLoad(progress, [&](const LoadOptions& options) {
    result = self.manager->GetOrLoad(model_id, config, options);
  });
  return PyModel(Unwrap(*std::move(result)));
}

bool Unload(const PyManager& self, const std::string& model_id) {
  const nb::gil_scoped_release release;
  return self.manager->Unload(model_id);
}

void ClearAll(const PyManager& self) {
  const nb::gil_scoped_release release;
  self.manager->ClearAll();
}

}  // namespace

void BindManager(nb::module_& module) {
  nb::class_<PyManager>(module, "ModelManager")
      .def(
          "__init__",
          [](PyManager* self, std::int64_t max_models,
             const std::optional<std::string>& cache_dir) {
            ModelManager::Options options;
            options.max_models = max_models;
            options.cache_dir = cache_dir;
            // Its destructor waits for loads, which may be freeing Python objects.
            const auto destroy = [](ModelManager* manager) {
              if (!HoldsLiveGil()) return delete manager;
              const nb::gil_scoped_release release;
              delete manager;
            };
            new (self) PyManager{{Unwrap(ModelManager::Create(options)).release(), destroy}};
          },
          nb::arg("max_models"), nb::arg("cache_dir").none() = nb::none())
      .def("get_or_load", &GetOrLoad, nb::arg("model_id"), nb::arg("config_json"),
           nb::arg("progress").none() = nb::none())
      .def("unload", &Unload, nb::arg("model_id"))
      .def("clear_all", &ClearAll)
      .def("registry", [](const PyManager& self) {
        return PyRegistry{std::shared_ptr<ModelRegistry>(self.manager, &self.manager->registry())};
      });
}

}  // namespace mdsa::python
