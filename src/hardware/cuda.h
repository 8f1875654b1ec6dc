// CUDA devices, asked of the driver's management library (NVML), which is opened at run time so
// that a build needs neither headers nor a link to it.
#pragma once

#include <vector>

#include "mdsa/hardware.h"

namespace mdsa {

inline constexpr const char* kNvmlLibrary = "libnvidia-ml.so.1";

// Empty when the library or a function is missing or the driver refuses; a device that cannot be
// asked is left out. Creates no CUDA context. Thread-safe.
std::vector<CudaDevice> DetectCudaDevices(const char* library = kNvmlLibrary);

}  // namespace mdsa
