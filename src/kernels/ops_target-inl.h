// The table of one target.
#pragma once

#include "kernels/attention-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

constexpr OpKernels kVectorOps = {
    .rms_norm = RmsNormRows,
    .layer_norm = LayerNormRows,
    .add = AddVectors,
    .activate = ActivateVectors,
    .rope = RopeTokens,
    .softmax = SoftmaxVector,
    .arg_max = ArgMaxVector,
    .l2_norm = L2NormVector,
    .attention = AttentionOfUnit,
    .attention_merge = MergeAttention,
};

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
