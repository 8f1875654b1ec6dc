#define MDSA_TARGET_NAMESPACE portable
#include "kernels/simd_portable-inl.h"
// Above: the vectors that the kernels below are written in.
#include "kernels/matmul_target-inl.h"

namespace mdsa::kernels {

const MatMulKernels kMatMulPortable = portable::kFloatKernels;

}  // namespace mdsa::kernels
