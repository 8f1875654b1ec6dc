#include "kernels/dispatch.h"
#include "mdsa/hardware.h"

namespace mdsa {

std::string KernelTarget() { return std::string(kernels::ActiveTarget()); }

}  // namespace mdsa
