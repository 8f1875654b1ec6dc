// The table of one target.
#pragma once

#include "kernels/matmul_packed-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

// Fewer activation rows than this run as dot products: packing the weight would cost more than the
// better register tile gives back.
constexpr std::int64_t kMinPackedRows = 10;
constexpr std::int64_t kMinPackedRowsDecoded = 8;  // formats the dot product decodes to a buffer

bool PaysToPack(const WeightView& weight, std::int64_t m) {
  return m >= (HasVectorDecoder(weight.format) ? kMinPackedRows : kMinPackedRowsDecoded);
}

constexpr MatMulKernels kVectorKernels = {
    .max_chunk_rows = kMaxTileRows,
    .panel_rows = kPanelRows,
    .pays_to_pack = PaysToPack,
    .pack_activations = PackActivations,
    .multiply_dots = MultiplyDots,
    .multiply_packed = MultiplyPacked,
    .decode = Decode,
};

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
