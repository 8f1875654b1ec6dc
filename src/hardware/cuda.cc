#include "hardware/cuda.h"

#include <dlfcn.h>

#include <array>
#include <memory>

// Under its C name, so that a function that takes it has one type on both sides of the library.
struct nvmlMemory_st {
  unsigned long long total, free, used;  // bytes
};

namespace mdsa {
namespace {

// The part of NVML's binary interface that is used, stable since its version 5; 0 is success.
using NvmlResult = int;
using NvmlDevice = void*;

struct CloseLibrary {
  void operator()(void* library) const { dlclose(library); }
};
using Library = std::unique_ptr<void, CloseLibrary>;

template <typename Function>
bool Find(const Library& library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library.get(), name));
  return function != nullptr;
}

struct Nvml {
  NvmlResult (*init)();
  NvmlResult (*shutdown)();
  NvmlResult (*device_count)(unsigned int*);
  NvmlResult (*device_handle)(unsigned int, NvmlDevice*);
  NvmlResult (*name)(NvmlDevice, char*, unsigned int);
  NvmlResult (*memory)(NvmlDevice, nvmlMemory_st*);
  NvmlResult (*compute_capability)(NvmlDevice, int*, int*);

  bool FindAll(const Library& library) {
    return Find(library, "nvmlInit_v2", init) && Find(library, "nvmlShutdown", shutdown) &&
           Find(library, "nvmlDeviceGetCount_v2", device_count) &&
           Find(library, "nvmlDeviceGetHandleByIndex_v2", device_handle) &&
           Find(library, "nvmlDeviceGetName", name) &&
           Find(library, "nvmlDeviceGetMemoryInfo", memory) &&
           Find(library, "nvmlDeviceGetCudaComputeCapability", compute_capability);
  }
};

std::vector<CudaDevice> Devices(const Nvml& nvml) {
  std::vector<CudaDevice> devices;
  unsigned int count = 0;
  if (nvml.device_count(&count) != 0) return devices;
  for (unsigned int index = 0; index < count; ++index) {
    NvmlDevice handle = nullptr;
    std::array<char, 97> name{};  // NVML's longest is 96
    nvmlMemory_st memory{};
    CudaDevice device;
    if (nvml.device_handle(index, &handle) != 0 || nvml.memory(handle, &memory) != 0 ||
        nvml.name(handle, name.data(), name.size() - 1) != 0 ||
        nvml.compute_capability(handle, &device.compute_major, &device.compute_minor) != 0) {
      continue;
    }
    device.id = static_cast<int>(index);
    device.name = name.data();
    device.total_bytes = memory.total;
    device.free_bytes = memory.free;
    devices.push_back(std::move(device));
  }
  return devices;
}

}  // namespace

std::vector<CudaDevice> DetectCudaDevices(const char* library_name) {
  const Library library(dlopen(library_name, RTLD_NOW | RTLD_LOCAL));
  Nvml nvml{};
  if (library == nullptr || !nvml.FindAll(library) || nvml.init() != 0) return {};
  std::vector<CudaDevice> devices = Devices(nvml);
  nvml.shutdown();
  return devices;
}

}  // namespace mdsa
