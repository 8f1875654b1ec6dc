// The names of devices that a ModelConfig may ask for.
#pragma once

#include <cstdint>
#include <string_view>

#include "mdsa/result.h"

namespace mdsa {

struct DeviceName {
  enum class Kind : std::uint8_t { kAuto, kCpu, kCuda, kMps };
  Kind kind = Kind::kAuto;
  int index = 0;  // of a CUDA device
};

// "auto", "cpu", "cuda", "cuda:N" or "mps"; anything else is kInvalidArgument that lists them.
Result<DeviceName> ParseDeviceName(std::string_view name);

}  // namespace mdsa
