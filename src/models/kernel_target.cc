#include "base/error.h"
#include "kernels/dispatch.h"
#include "mdsa/hardware.h"

namespace mdsa {

Result<std::string> KernelTarget() {
  MDSA_TRY(kernels::CheckEnvironmentTarget());
  return std::string(kernels::ActiveTarget());
}

}  // namespace mdsa
