#include "mdsa/hardware.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>

#include "bindings.h"
#include "gil.h"
#include "kernels/dispatch.h"

namespace mdsa::python {
namespace {

HardwareInfo Detect() {
  const GilRelease release;
  return DetectHardware();
}

nb::list FromCudaDevices(const std::vector<CudaDevice>& devices) {
  nb::list result;
  for (const CudaDevice& device : devices) {
    nb::dict values;
    values["id"] = device.id;
    values["name"] = device.name;
    values["total_bytes"] = device.total_bytes;
    values["free_bytes"] = device.free_bytes;
    values["compute_major"] = device.compute_major;
    values["compute_minor"] = device.compute_minor;
    result.append(values);
  }
  return result;
}

nb::dict DetectHardwareDict() {
  const HardwareInfo info = Detect();
  nb::dict values;
  values["platform"] = info.platform;
  values["cpu_model"] = info.cpu_model;
  values["physical_cores"] = info.physical_cores;
  values["logical_cores"] = info.logical_cores;
  values["usable_cores"] = info.usable_cores;
  values["cpu_features"] = info.cpu_features;
  values["kernel_target"] = std::string(kernels::ActiveTarget());
  values["total_memory_bytes"] = info.total_memory_bytes;
  values["available_memory_bytes"] = info.available_memory_bytes;
  values["cuda_devices"] = FromCudaDevices(info.cuda_devices);
  values["has_mps"] = info.has_mps;
  return values;
}

}  // namespace

void BindHardware(nb::module_& module) {
  module.def("detect_hardware", &DetectHardwareDict);
  module.def(
      "auto_device", [] { return ResolveDevice("auto", Detect()).value_or("cpu"); },
      "The best device that this build can compute on.");
}

}  // namespace mdsa::python
