#define MDSA_TARGET_NAMESPACE portable
#include "kernels/simd_portable-inl.h"
// Above: the vectors that the kernels below are written in.
#include "kernels/matmul_target-inl.h"

namespace mdsa::kernels {

constinit const MatMulKernels kMatMulPortable = portable::kVectorKernels;

}  // namespace mdsa::kernels
