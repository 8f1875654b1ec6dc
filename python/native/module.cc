#include <nanobind/nanobind.h>

#include "bindings.h"
#include "error.h"
#include "mdsa/version.h"

NB_MODULE(_native, module) {
  using namespace mdsa::python;
  module.doc() = "The C++ library behind the package mdsa. Not a public interface.";
  module.attr("__version__") = mdsa::Version();
#ifdef NDEBUG
  // Threads that the end of the process stops never drop what they hold.
  nanobind::set_leak_warnings(false);
#endif
  RegisterErrorTranslator();
  BindConfig(module);
  BindHardware(module);
  BindTokenizer(module);
  BindModel(module);
  BindTextStream(module);
  BindLoader(module);
  BindLease(module);
  BindHitMethod(module);
  BindEvents(module);
  BindRegistry(module);
  BindManager(module);
  BindKernels(module);
  BindQuant(module);
  BindShutdown(module);
}
