#include "error.h"

#include <nanobind/nanobind.h>

#include <new>
#include <system_error>

#include "convert.h"

namespace mdsa::python {
namespace nb = nanobind;
namespace {

void SetPythonError(const Error& error) {
  try {
    const nb::object make = nb::module_::import_("mdsa.errors").attr("error_for_code");
    const nb::object exception =
        make(ToText(ErrorCodeName(error.code())), ToText(error.ToString()));
    PyErr_SetObject(exception.type().ptr(), exception.ptr());
  } catch (nb::python_error& failure) {
    failure.restore();
  }
}

}  // namespace

void RegisterErrorTranslator() {
  nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
    try {
      std::rethrow_exception(pointer);
    } catch (const NativeError& error) {
      SetPythonError(error.error());
    } catch (const std::bad_alloc&) {
      SetPythonError(Error(ErrorCode::kResourceExhausted, "out of memory"));
    } catch (const std::system_error& error) {
      SetPythonError(Error(ErrorCode::kResourceExhausted, error.what()));  // no thread to be had
    }
  });
}

}  // namespace mdsa::python
