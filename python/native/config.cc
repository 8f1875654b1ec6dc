#include <nanobind/stl/string.h>

#include <string>

#include "bindings.h"
#include "convert.h"

namespace mdsa::python {

void BindConfig(nb::module_& module) {
  module.def(
      "check_config", [](const std::string& json) { ToConfig(json); }, nb::arg("json"),
      "Raises InvalidArgumentError naming the field that is wrong.");
}

}  // namespace mdsa::python
