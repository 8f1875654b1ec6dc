// Shorthand for making and passing on errors inside the library.
#pragma once

#include <fmt/format.h>

#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mdsa/result.h"

namespace mdsa {

// return Err(ErrorCode::kInvalidFormat, "header of {} bytes ends after the file", n);
template <typename... Args>
std::unexpected<Error> Err(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected<Error>(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}

// What `function` returns, a Result or Status; kResourceExhausted where an allocation of the
// standard library, which reports by exception only, was refused. `action` completes "not enough
// memory to".
template <typename Function>
std::invoke_result_t<Function> CatchOutOfMemory(std::string_view action, Function&& function) {
  try {
    return std::forward<Function>(function)();
  } catch (const std::bad_alloc&) {
    return Err(ErrorCode::kResourceExhausted, "not enough memory to {}", action);
  }
}

}  // namespace mdsa

#define MDSA_CONCAT_INNER(a, b) a##b
#define MDSA_CONCAT(a, b) MDSA_CONCAT_INNER(a, b)

// MDSA_TRY(expr): returns the error of a Result or Status, if it is one.
#define MDSA_TRY(expression)                                        \
  do {                                                              \
    if (auto mdsa_status = (expression); !mdsa_status) [[unlikely]] \
      return std::unexpected(std::move(mdsa_status).error());       \
  } while (false)

// MDSA_ASSIGN(auto value, expr): the same, else moves the value out.
#define MDSA_ASSIGN(declaration, expression) \
  MDSA_ASSIGN_IMPL(MDSA_CONCAT(mdsa_result_, __LINE__), declaration, expression)
#define MDSA_ASSIGN_IMPL(result, declaration, expression) \
  auto result = (expression);                             \
  if (!result) [[unlikely]]                               \
    return std::unexpected(std::move(result).error());    \
  declaration = *std::move(result)
