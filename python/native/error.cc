#include "error.h"

#include <nanobind/nanobind.h>

#include <new>
#include <string_view>
#include <system_error>

namespace mdsa::python {
namespace nb = nanobind;
namespace {

// A file name in a message may hold bytes that are no UTF-8.
nb::object ToText(std::string_view text) {
  return nb::steal(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

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
