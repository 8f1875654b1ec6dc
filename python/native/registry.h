// A registry as Python holds it: its own, or the one inside a manager.
#pragma once

#include <memory>

#include "mdsa/model_registry.h"

namespace mdsa::python {

struct PyRegistry {
  std::shared_ptr<ModelRegistry> registry;
};

}  // namespace mdsa::python
