// Phase 1: what this machine, or this container, really offers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mdsa/result.h"

namespace mdsa {

struct CudaDevice {
  int id = 0;
  std::string name;
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  int compute_major = 0;
  int compute_minor = 0;
};

struct HardwareInfo {
  std::string platform;  // "Linux"
  std::string cpu_model;
  int physical_cores = 1;
  int logical_cores = 1;
  int usable_cores = 1;                   // after affinity and container limits, at least 1
  std::vector<std::string> cpu_features;  // "avx2", "avx512f"...
  // The smaller of the host's and the container's limit (cgroup v1 and v2); 0 if the system does
  // not say.
  std::uint64_t total_memory_bytes = 0;
  std::uint64_t available_memory_bytes = 0;  // page cache counts as available
  std::vector<CudaDevice> cuda_devices;      // asked of the driver; empty without one
  bool has_mps = false;
};

// Asks the system now; what it does not say keeps its default. Thread-safe.
HardwareInfo DetectHardware();

// The instruction set that the kernels use: "portable", "avx2", "avx512" or "avx512_vnni". Chosen
// at first use from what the processor has; the environment variable MDSA_CPU_TARGET forces one.
// kInvalidArgument if that is not one of these, kUnsupported if the processor lacks it.
// Thread-safe.
Result<std::string> KernelTarget();

// For "auto" the best device this build can compute on; kUnsupported for "cuda"
// or "mps" where there is none or this build has no kernels for it, kInvalidArgument for a
// malformed name. The error says what is supported.
Result<std::string> ResolveDevice(const std::string& device, const HardwareInfo& hardware);

}  // namespace mdsa
