// The parts of the Python module `mdsa._native`: one function a file, called once by module.cc.
//
// The module is a thin door: it converts values, releases the GIL around work, and turns errors
// into the exceptions of mdsa.errors. What Python users see is the package python/mdsa.
#pragma once

#include <nanobind/nanobind.h>

namespace mdsa::python {

namespace nb = nanobind;

void BindConfig(nb::module_& module);
void BindHardware(nb::module_& module);
void BindTokenizer(nb::module_& module);
void BindModel(nb::module_& module);
void BindTextStream(nb::module_& module);
void BindLoader(nb::module_& module);
void BindLease(nb::module_& module);
void BindHitMethod(nb::module_& module);
void BindEvents(nb::module_& module);
void BindRegistry(nb::module_& module);
void BindManager(nb::module_& module);
void BindKernels(nb::module_& module);
void BindQuant(nb::module_& module);
void BindShutdown(nb::module_& module);

}  // namespace mdsa::python
