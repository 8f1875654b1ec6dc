#include "hardware/device_name.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/error.h"
#include "mdsa/hardware.h"

namespace mdsa {

Result<DeviceName> ParseDeviceName(std::string_view name) {
  using Kind = DeviceName::Kind;
  if (name == "auto") return DeviceName{Kind::kAuto};
  if (name == "cpu") return DeviceName{Kind::kCpu};
  if (name == "mps") return DeviceName{Kind::kMps};
  if (name == "cuda") return DeviceName{Kind::kCuda};
  constexpr std::string_view kCudaPrefix = "cuda:";
  if (name.starts_with(kCudaPrefix)) {
    const std::string_view digits = name.substr(kCudaPrefix.size());
    int index = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (error == std::errc() && end == digits.data() + digits.size() && index >= 0) {
      return DeviceName{Kind::kCuda, index};
    }
  }
  return Err(ErrorCode::kInvalidArgument,
             "unknown device '{}'; known are \"auto\", \"cpu\", \"cuda\", \"cuda:N\" and \"mps\"",
             name);
}

Result<std::string> ResolveDevice(const std::string& device, const HardwareInfo& hardware) {
  MDSA_ASSIGN(const DeviceName name, ParseDeviceName(device));
  switch (name.kind) {
    case DeviceName::Kind::kAuto:
    case DeviceName::Kind::kCpu:
      return "cpu";
    case DeviceName::Kind::kCuda:
      if (hardware.cuda_devices.empty()) {
        return Err(ErrorCode::kUnsupported,
                   "device '{}': this machine has no CUDA device; supported are \"cpu\" and "
                   "\"auto\"",
                   device);
      }
      // A plain "cuda" has the index 0; the ids may have gaps, of devices that cannot be asked.
      if (device != "cuda" && std::ranges::find(hardware.cuda_devices, name.index,
                                                &CudaDevice::id) == hardware.cuda_devices.end()) {
        std::vector<int> ids;
        for (const CudaDevice& known : hardware.cuda_devices) ids.push_back(known.id);
        return Err(
            ErrorCode::kUnsupported,
            "device '{}': the CUDA devices of this machine are {}; supported are \"cpu\" and "
            "\"auto\"",
            device, fmt::join(ids, ", "));
      }
      return Err(ErrorCode::kUnsupported,
                 "device '{}': this build has no CUDA kernels; supported are \"cpu\" and \"auto\"",
                 device);
    case DeviceName::Kind::kMps:
      return Err(ErrorCode::kUnsupported, "device 'mps': {}; supported are \"cpu\" and \"auto\"",
                 hardware.has_mps ? "this build has no Metal kernels"
                                  : "this machine has no Metal device");
  }
  return Err(ErrorCode::kInternal, "device '{}' has no kind", device);
}

}  // namespace mdsa
