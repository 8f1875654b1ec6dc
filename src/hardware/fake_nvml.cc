// A management library of a machine with three devices, the second of which cannot be asked.
#include <algorithm>
#include <cstdint>
#include <string_view>

struct nvmlMemory_st {
  unsigned long long total, free, used;
};

namespace {

std::uintptr_t IndexOf(void* device) { return reinterpret_cast<std::uintptr_t>(device) - 1; }

}  // namespace

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = 3;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void** device) {
  *device = reinterpret_cast<void*>(static_cast<std::uintptr_t>(index) + 1);
  return 0;
}
int nvmlDeviceGetName(void* device, char* name, unsigned int length) {
  const std::string_view text = IndexOf(device) == 0 ? "Fake A" : "Fake C";
  if (text.size() >= length) return 7;
  *std::copy(text.begin(), text.end(), name) = '\0';
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* device, nvmlMemory_st* memory) {
  if (IndexOf(device) == 1) return 15;  // the device is lost
  *memory = {1000 * (IndexOf(device) + 1), 600, 0};
  return 0;
}
int nvmlDeviceGetCudaComputeCapability(void*, int* major, int* minor) {
  *major = 9;
  *minor = 0;
  return 0;
}

}  // extern "C"
