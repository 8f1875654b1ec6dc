// Errors of the library as Python exceptions.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "mdsa/result.h"

namespace mdsa::python {

// Carries an Error up to the boundary, where it becomes the exception class of its code. The only
// C++ exception of this module besides those of nanobind.
class NativeError : public std::exception {
 public:
  explicit NativeError(Error error) : error_(std::move(error)), text_(error_.ToString()) {}
  const char* what() const noexcept override { return text_.c_str(); }
  const Error& error() const { return error_; }

 private:
  Error error_;
  std::string text_;
};

// Called once, when the module is made.
void RegisterErrorTranslator();

// The value of a Result, or its error thrown. May be called without the GIL.
template <typename T>
T Unwrap(Result<T> result) {
  if (!result) throw NativeError(std::move(result).error());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

[[noreturn]] inline void ThrowInvalidArgument(std::string message) {
  throw NativeError(Error(ErrorCode::kInvalidArgument, std::move(message)));
}

}  // namespace mdsa::python
