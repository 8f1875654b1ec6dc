#define MDSA_TARGET_NAMESPACE portable
#include "kernels/simd_portable-inl.h"
// Above: the vectors that the kernels below are written in.
#include "kernels/ops_target-inl.h"

namespace mdsa::kernels {

constinit const OpKernels kOpsPortable = portable::kVectorOps;

}  // namespace mdsa::kernels
