#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <memory>
#include <optional>
#include <string>

#include "bindings.h"
#include "convert.h"
#include "error.h"
#include "events.h"
#include "gil.h"
#include "lease.h"
#include "mdsa/config_file.h"
#include "mdsa/model_manager.h"
#include "model.h"
#include "registry.h"
#include "residency.h"
#include "stale_hits.h"

namespace mdsa::python {
namespace {

struct PyManager {
  explicit PyManager(std::shared_ptr<ModelManager> owned)
      : manager(std::move(owned)), evictions(manager->Subscribe(&NoteEvent)) {}
  PyManager(const PyManager&) = delete;
  PyManager& operator=(const PyManager&) = delete;
  ~PyManager() { DropWithoutGil(manager); }  // it waits for loads, which may free Python objects

  std::shared_ptr<ModelManager> manager;
  EventSubscription evictions;
};

struct Request {
  std::string model_id;
  std::optional<ModelConfig> config;
  std::optional<std::chrono::nanoseconds> timeout;
  bool wait = true;

  Request(std::string id, const std::optional<std::string>& config_json,
          std::optional<double> timeout_seconds, bool wait_for_memory)
      : model_id(std::move(id)), timeout(ToTimeout(timeout_seconds)), wait(wait_for_memory) {
    if (config_json) config = ToConfig(*config_json);
  }
  RequestOptions Options(const LoadOptions& load) const {
    RequestOptions options(load);
    options.timeout = timeout;
    options.wait_for_memory = wait;
    return options;
  }
};

PyModel GetOrLoad(const PyManager& self, std::string model_id,
                  const std::optional<std::string>& config_json, const nb::object& progress,
                  std::optional<double> timeout, bool wait) {
  const Request request(std::move(model_id), config_json, timeout, wait);
  std::optional<Result<ModelHandle>> result;
  RunInterruptibly(progress, [&](const LoadOptions& load) {
    const RequestOptions options = request.Options(load);
    result = request.config ? self.manager->GetOrLoad(request.model_id, *request.config, options)
                            : self.manager->GetOrLoad(request.model_id, options);
  });
  return PyModel(Unwrap(*std::move(result)));
}

PyLease Lease(const PyManager& self, std::string model_id,
              const std::optional<std::string>& config_json, std::optional<double> timeout,
              bool wait) {
  const Request request(std::move(model_id), config_json, timeout, wait);
  std::optional<Result<ModelLease>> result;
  RunInterruptibly(nb::none(), [&](const LoadOptions& load) {
    const RequestOptions options = request.Options(load);
    result = request.config ? self.manager->Lease(request.model_id, *request.config, options)
                            : self.manager->Lease(request.model_id, options);
  });
  return PyLease(Unwrap(*std::move(result)));
}

// (whether it was known, bytes given back)
nb::tuple Unload(const PyManager& self, const std::string& model_id, bool force,
                 std::optional<double> timeout) {
  UnloadOptions options;
  options.force = force;
  options.timeout = ToTimeout(timeout);
  std::optional<Result<UnloadResult>> result;
  // A callback of a call may unload the call's own model, which is found out by the thread.
  RunCall(!ActiveCall::OnThisThread(), [&](const std::stop_token& stop) {
    options.stop = stop;
    result = self.manager->Unload(model_id, options);
  });
  const UnloadResult unloaded = Unwrap(*std::move(result));
  return nb::make_tuple(unloaded.known, unloaded.freed_bytes);
}

void ClearAll(const PyManager& self) {
  const GilRelease release;
  self.manager->ClearAll();
}

void SetPinned(const PyManager& self, const std::string& model_id, bool pinned) {
  Unwrap(self.manager->SetPinned(model_id, pinned));
}

// None: for ever.
std::chrono::nanoseconds ToTimeToLive(std::optional<double> seconds) {
  return seconds ? ToDuration(*seconds, "time_to_live") : ModelSettings::kForever;
}

void SetTimeToLive(const PyManager& self, const std::string& model_id,
                   std::optional<double> seconds) {
  Unwrap(self.manager->SetTimeToLive(model_id, ToTimeToLive(seconds)));
}

// `time_to_live` is (seconds or None,), or None for the manager's.
void Declare(const PyManager& self, std::string model_id, const std::string& config_json, bool pin,
             const std::optional<nb::tuple>& time_to_live, bool preload, bool required,
             std::string warm_up) {
  DeclaredModel model;
  model.id = std::move(model_id);
  model.config = ToConfig(config_json);
  model.settings.pinned = pin;
  if (time_to_live) {
    model.settings.time_to_live = ToTimeToLive(nb::cast<std::optional<double>>((*time_to_live)[0]));
  }
  model.preload = preload;
  model.required = required;
  model.warm_up = std::move(warm_up);
  Unwrap(self.manager->Declare(model));
}

// [(id, required, error code or None, message)]
nb::list Preload(const PyManager& self) {
  std::vector<ModelManager::PreloadResult> results;
  RunInterruptibly(nb::none(),
                   [&](const LoadOptions& load) { results = self.manager->Preload(load); });
  nb::list values;
  for (const ModelManager::PreloadResult& result : results) {
    if (result.status) {
      values.append(nb::make_tuple(result.model_id, result.required, nb::none(), ""));
      continue;
    }
    const Error& error = result.status.error();
    values.append(nb::make_tuple(result.model_id, result.required,
                                 ToText(ErrorCodeName(error.code())), ToText(error.ToString())));
  }
  return values;
}

nb::dict Explain(const PyManager& self, const std::string& model_id,
                 const std::optional<std::string>& config_json) {
  std::optional<ModelConfig> config;
  if (config_json) config = ToConfig(*config_json);
  std::optional<ResidencyExplanation> explanation;
  {
    const GilRelease release;
    explanation =
        Unwrap(config ? self.manager->Explain(model_id, *config) : self.manager->Explain(model_id));
  }
  return FromExplanation(*explanation);
}

nb::object ConfigOf(const PyManager& self, const std::string& model_id) {
  const std::optional<ModelConfig> config = self.manager->ConfigOf(model_id);
  return config ? nb::cast(config->ToJson()) : nb::none();
}

std::unique_ptr<PyManager> Make(const nb::dict& options,
                                const std::optional<nb::bytes>& cache_dir) {
  ModelManager::Options native;
  native.residency = ToResidencyOptions(options);
  native.cache_dir = ToPath(cache_dir);
  return std::make_unique<PyManager>(Unwrap(ModelManager::Create(native)));
}

// (manager, cache_dir or None)
nb::tuple FromConfig(const nb::bytes& path) {
  const ConfigFile file = Unwrap(ConfigFile::Read(*ToPath(path)));
  auto manager = std::make_unique<PyManager>(Unwrap(ModelManager::Create(file)));
  return nb::make_tuple(std::move(manager),
                        file.cache_dir ? FromPath(*file.cache_dir) : nb::object(nb::none()));
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
      .def_static("make", &Make, nb::arg("options"), nb::arg("cache_dir").none() = nb::none())
      .def_static("from_config", &FromConfig, nb::arg("path"))
      .def("get_or_load", &GetOrLoad, nb::arg("model_id"), nb::arg("config_json").none(),
           nb::arg("progress").none() = nb::none(), nb::arg("timeout").none() = nb::none(),
           nb::arg("wait") = true)
      .def("lease", &Lease, nb::arg("model_id"), nb::arg("config_json").none(),
           nb::arg("timeout").none() = nb::none(), nb::arg("wait") = true)
      .def("unload", &Unload, nb::arg("model_id"), nb::arg("force") = false,
           nb::arg("timeout").none() = nb::none())
      .def("clear_all", &ClearAll)
      .def("set_pinned", &SetPinned, nb::arg("model_id"), nb::arg("pinned"))
      .def("set_time_to_live", &SetTimeToLive, nb::arg("model_id"), nb::arg("seconds").none())
      .def("declare", &Declare, nb::arg("model_id"), nb::arg("config_json"), nb::arg("pin"),
           nb::arg("time_to_live").none(), nb::arg("preload"), nb::arg("required"),
           nb::arg("warm_up"))
      .def("preload", &Preload)
      .def("explain", &Explain, nb::arg("model_id"), nb::arg("config_json").none())
      .def("metrics", [](const PyManager& self) { return FromMetrics(self.manager->Metrics()); })
      .def("config_of", &ConfigOf, nb::arg("model_id"))
      .def(
          "subscribe",
          [](const PyManager& self, std::size_t capacity) {
            return std::make_unique<PyEvents>(*self.manager, capacity);
          },
          nb::arg("capacity"))
      .def("registry", [](const nb::object& self) {
        const auto& manager = nb::cast<const PyManager&>(self).manager;
        return PyRegistry(std::shared_ptr<ModelRegistry>(manager, &manager->registry()), self,
                          manager->residency_options().time_to_live);
      });
}

}  // namespace mdsa::python
