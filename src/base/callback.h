// Calls into the application, which may throw where this library does not.
#pragma once

#include <exception>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace mdsa {

// What `call` throws becomes kInternal: "the progress callback threw: disk full". `name` is the
// callback's, for the message.
template <typename Call>
Status CallApplication(std::string_view name, Call&& call) {
  try {
    std::forward<Call>(call)();
    return {};
  } catch (const std::exception& error) {
    return Err(ErrorCode::kInternal, "the {} threw: {}", name, error.what());
  } catch (...) {
    return Err(ErrorCode::kInternal, "the {} threw what is no std::exception", name);
  }
}

}  // namespace mdsa
