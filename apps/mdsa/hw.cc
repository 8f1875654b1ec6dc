// mdsa hw: what this machine offers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "command_line.h"
#include "exit_code.h"
#include "mdsa/hardware.h"
#include "options.h"
#include "text_format.h"

namespace mdsa::cli {
namespace {

std::string Json(const HardwareInfo& hardware, const std::string& kernels) {
  nlohmann::ordered_json cuda = nlohmann::ordered_json::array();
  for (const CudaDevice& device : hardware.cuda_devices) {
    cuda.push_back(
        {{"id", device.id},
         {"name", device.name},
         {"total_bytes", device.total_bytes},
         {"free_bytes", device.free_bytes},
         {"compute_capability", fmt::format("{}.{}", device.compute_major, device.compute_minor)}});
  }
  return DumpJson({{"platform", hardware.platform},
                   {"cpu", hardware.cpu_model},
                   {"physical_cores", hardware.physical_cores},
                   {"logical_cores", hardware.logical_cores},
                   {"usable_cores", hardware.usable_cores},
                   {"cpu_features", hardware.cpu_features},
                   {"kernel_target", kernels},
                   {"total_memory_bytes", hardware.total_memory_bytes},
                   {"available_memory_bytes", hardware.available_memory_bytes},
                   {"cuda_devices", std::move(cuda)},
                   {"mps", hardware.has_mps}});
}

std::string Text(const HardwareInfo& hardware, const std::string& kernels) {
  std::vector<std::vector<std::string>> rows = {
      {"platform", hardware.platform},
      {"processor", OneLine(hardware.cpu_model)},
      {"cores",
       fmt::format("{} physical, {} logical, {} usable by this process", hardware.physical_cores,
                   hardware.logical_cores, hardware.usable_cores)},
      {"features", fmt::format("{}", fmt::join(hardware.cpu_features, " "))},
      {"kernels", kernels},
      {"memory", fmt::format("{}, {} available", HumanBytes(hardware.total_memory_bytes),
                             HumanBytes(hardware.available_memory_bytes))}};
  for (const CudaDevice& device : hardware.cuda_devices) {
    rows.push_back({fmt::format("cuda:{}", device.id),
                    fmt::format("{}, {}, {} free, compute {}.{}", OneLine(device.name),
                                HumanBytes(device.total_bytes), HumanBytes(device.free_bytes),
                                device.compute_major, device.compute_minor)});
  }
  if (hardware.cuda_devices.empty()) rows.push_back({"cuda", "none"});
  rows.push_back({"mps", hardware.has_mps ? "yes" : "none"});
  return Table(rows, {false, false});
}

}  // namespace

void AddHwCommand(CLI::App& app, Command& command) {
  CLI::App* hw = app.add_subcommand("hw", "Show what this machine offers");
  const auto json = std::make_shared<bool>(false);
  AddJsonFlag(*hw, *json);
  hw->footer(
      "Examples:\n"
      "  mdsa hw\n"
      "  mdsa hw --json\n");
  hw->final_callback([json, &command] {
    command = [json](Console& console) -> CommandResult {
      const auto kernels = KernelTarget();
      if (!kernels) return std::unexpected(kernels.error());
      const HardwareInfo hardware = DetectHardware();
      console.Write(*json ? Json(hardware, *kernels) : Text(hardware, *kernels));
      return kExitOk;
    };
  });
}

}  // namespace mdsa::cli
