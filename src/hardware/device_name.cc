#include "hardware/device_name.h"

#include <charconv>

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
      if (static_cast<std::size_t>(name.index) >= hardware.cuda_devices.size()) {
        return Err(ErrorCode::kUnsupported,
                   "device '{}': this machine has {} CUDA device(s), numbered from 0; supported "
                   "are \"cpu\" and \"auto\"",
                   device, hardware.cuda_devices.size());
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
