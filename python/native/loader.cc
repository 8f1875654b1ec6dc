#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <string>

#include "bindings.h"
#include "convert.h"
#include "error.h"
#include "gil.h"
#include "mdsa/model_loader.h"
#include "model.h"

namespace mdsa::python {
namespace {

PyModel Load(const ModelLoader& self, const std::string& config_json, const nb::object& progress) {
  const ModelConfig config = ToConfig(config_json);
  std::optional<Result<std::shared_ptr<Model>>> result;
  RunInterruptibly(progress,
                   [&](const LoadOptions& options) { result = self.Load(config, options); });
  return PyModel(std::shared_ptr<const Model>(Unwrap(*std::move(result))));
}

nb::dict EstimateMemory(const ModelLoader& self, const std::string& config_json) {
  const ModelConfig config = ToConfig(config_json);
  MemoryEstimate estimate;
  {
    const GilRelease release;
    estimate = Unwrap(self.EstimateMemory(config));
  }
  nb::dict values;
  values["weights_bytes"] = estimate.weights_bytes;
  values["mapped_bytes"] = estimate.mapped_bytes;
  values["tokenizer_bytes"] = estimate.tokenizer_bytes;
  values["kv_bytes_per_token"] = estimate.kv_bytes_per_token;
  values["kv_bytes"] = estimate.kv_bytes;
  values["scratch_bytes"] = estimate.scratch_bytes;
  values["peak_load_bytes"] = estimate.peak_load_bytes;
  values["approximate"] = estimate.approximate;
  values["total_mb"] = estimate.total_mb();
  return values;
}

}  // namespace

void BindLoader(nb::module_& module) {
  nb::class_<ModelLoader>(module, "ModelLoader")
      .def(
          "__init__",
          [](ModelLoader* self, const std::optional<nb::bytes>& cache_dir) {
            new (self) ModelLoader(ToPath(cache_dir));
          },
          nb::arg("cache_dir").none() = nb::none())
      .def("load", &Load, nb::arg("config_json"), nb::arg("progress").none() = nb::none())
      .def("estimate_memory", &EstimateMemory, nb::arg("config_json"))
      .def_prop_ro("cache_dir", [](const ModelLoader& self) { return FromPath(self.cache_dir()); });
}

}  // namespace mdsa::python
