#define MDSA_TARGET_NAMESPACE avx512
#include "kernels/simd_avx512-inl.h"
// Above: the vectors that the kernels below are written in.
#include "kernels/ops_target-inl.h"

namespace mdsa::kernels {

constinit const OpKernels kOpsAvx512 = avx512::kVectorOps;

}  // namespace mdsa::kernels
