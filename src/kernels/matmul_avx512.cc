#define MDSA_TARGET_NAMESPACE avx512
#include "kernels/simd_avx512-inl.h"
// Above: the vectors that the kernels below are written in.
#include "kernels/matmul_target-inl.h"

namespace mdsa::kernels {

constinit const MatMulKernels kMatMulAvx512 = avx512::kVectorKernels;

}  // namespace mdsa::kernels
