// What the operating system said about a path.
#pragma once

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"

namespace mdsa {

// kAlreadyExists for EEXIST, else kIo.
inline std::unexpected<Error> SystemError(const std::filesystem::path& path, int error) {
  const ErrorCode code = error == EEXIST ? ErrorCode::kAlreadyExists : ErrorCode::kIo;
  return Err(code, "{}: {}", path.string(), std::strerror(error));
}

}  // namespace mdsa
