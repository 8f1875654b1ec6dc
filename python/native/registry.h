// A registry as Python holds it: its own, or the one inside a manager.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "gil.h"
#include "mdsa/model_registry.h"

namespace mdsa::python {

// For the garbage collector, to whom the one owner of a registry shows the Python objects in it.
int VisitObjects(const ModelRegistry& registry, visitproc visit, void* arg);
void DropObjects(ModelRegistry& registry);

struct PyRegistry {
  explicit PyRegistry(std::shared_ptr<ModelRegistry> shared, nb::object owning_manager = {},
                      std::optional<std::chrono::nanoseconds> default_time_to_live = {})
      : registry(std::move(shared)),
        time_to_live(default_time_to_live),
        manager(std::move(owning_manager)) {}
  PyRegistry(PyRegistry&&) = default;
  PyRegistry(const PyRegistry&) = delete;
  PyRegistry& operator=(const PyRegistry&) = delete;
  ~PyRegistry() { DropWithoutGil(registry); }

  std::shared_ptr<ModelRegistry> registry;
  std::optional<std::chrono::nanoseconds> time_to_live;  // where an id has none of its own
  nb::object manager;  // the owner of `registry`; invalid if that is this object
};

}  // namespace mdsa::python
