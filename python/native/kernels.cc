#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "bindings.h"
#include "error.h"
#include "kernels/dispatch.h"

namespace mdsa::python {

void BindKernels(nb::module_& module) {
  module.def(
      "kernel_targets",
      [] {
        const auto targets = kernels::SupportedTargets();
        return std::vector<std::string>(targets.begin(), targets.end());
      },
      "Instruction sets that this machine can run, best first.");
  module.def("active_kernel_target", [] { return std::string(kernels::ActiveTarget()); });
  module.def(
      "select_kernel_target", [](const std::string& name) { Unwrap(kernels::SelectTarget(name)); },
      nb::arg("name"), "For tests: not to be called while anything computes.");
}

}  // namespace mdsa::python
