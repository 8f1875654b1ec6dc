#include "mdsa/hardware.h"

#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "hardware/cgroup.h"
#include "hardware/cuda.h"
#include "hardware/host.h"
#include "hardware/proc_files.h"

namespace mdsa {
namespace {

// Those that decide which kernels run and how fast; a processor lists some hundred others.
constexpr std::array<std::string_view, 18> kReportedFeatures = {
    "sse4_2",      "avx",         "f16c",     "fma",      "avx2",       "avx_vnni",
    "avx512f",     "avx512dq",    "avx512bw", "avx512vl", "avx512vbmi", "avx512_vnni",
    "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16", "asimd",      "sve"};

int AffinityCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // Machines with more processors than the set holds refuse; the online count stands in.
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace

HardwareInfo DescribeHost(const std::filesystem::path& root, int affinity_cores) {
  HardwareInfo info;
  CpuInfo cpu = ParseCpuInfo(ReadText(root / "proc/cpuinfo"));
  info.cpu_model = std::move(cpu.model);
  for (const std::string_view feature : kReportedFeatures) {
    if (std::find(cpu.features.begin(), cpu.features.end(), feature) != cpu.features.end()) {
      info.cpu_features.emplace_back(feature);
    }
  }
  info.logical_cores = std::max({cpu.logical_cores, affinity_cores, 1});
  info.physical_cores = cpu.physical_cores > 0 ? cpu.physical_cores : info.logical_cores;

  const CgroupLimits limits = ReadCgroupLimits(root);
  info.usable_cores = std::clamp(affinity_cores, 1, info.logical_cores);
  if (limits.cpus && *limits.cpus < info.usable_cores) {
    // A part of a core is worth a thread: 1.5 cores keep two threads busy most of the time.
    info.usable_cores = std::max(1, static_cast<int>(std::ceil(*limits.cpus)));
  }
  const HostMemory memory = ParseMemInfo(ReadText(root / "proc/meminfo"));
  info.total_memory_bytes = memory.total_bytes;
  info.available_memory_bytes = memory.available_bytes;
  if (limits.memory_bytes &&
      (memory.total_bytes == 0 || *limits.memory_bytes < memory.total_bytes)) {
    info.total_memory_bytes = *limits.memory_bytes;
  }
  if (limits.available_bytes) {
    info.available_memory_bytes = memory.total_bytes == 0
                                      ? *limits.available_bytes
                                      : std::min(memory.available_bytes, *limits.available_bytes);
  }
  if (info.total_memory_bytes != 0) {  // a limit whose usage cannot be read
    info.available_memory_bytes = std::min(info.available_memory_bytes, info.total_memory_bytes);
  }
  return info;
}

HardwareInfo DetectHardware() {
  HardwareInfo info = DescribeHost("/", AffinityCores());
  utsname system{};
  if (uname(&system) == 0) info.platform = system.sysname;
  info.cuda_devices = DetectCudaDevices();
  return info;
}

int UsableCores() { return DescribeHost("/", AffinityCores()).usable_cores; }

}  // namespace mdsa
