// The parts of DetectHardware that depend on files alone.
#pragma once

#include <filesystem>

#include "mdsa/hardware.h"

namespace mdsa {

// Everything but platform and devices, from the files under `root` ("/" on a real machine) and the
// number of processors that the process may be scheduled on.
HardwareInfo DescribeHost(const std::filesystem::path& root, int affinity_cores);

// HardwareInfo::usable_cores without asking for devices, which can take a driver a second.
// Thread-safe.
int UsableCores();

}  // namespace mdsa
