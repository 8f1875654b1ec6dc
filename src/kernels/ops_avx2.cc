#define MDSA_TARGET_NAMESPACE avx2
#include "kernels/simd_avx2-inl.h"
// Above: the vectors that the kernels below are written in.
#include "kernels/ops_target-inl.h"

namespace mdsa::kernels {

constinit const OpKernels kOpsAvx2 = avx2::kVectorOps;

}  // namespace mdsa::kernels
