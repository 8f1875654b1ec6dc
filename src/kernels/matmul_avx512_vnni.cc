#define MDSA_TARGET_NAMESPACE avx512_vnni
#include "kernels/simd_avx512-inl.h"
// Above: the vectors that the kernels below are written in.
#include "kernels/matmul_int8-inl.h"

namespace mdsa::kernels {
namespace avx512_vnni {
namespace {

// From this many activation rows on, quantizing them pays.
constexpr std::int64_t kMinRowsInt8 = 10;

// Everything but many rows against LLM.int8() weights is as without VNNI.
ActivationLayout ChooseLayout(const WeightView& weight, std::int64_t m) {
  if (HasInt8Product(weight) && m >= kMinRowsInt8) return ActivationLayout::kBytes;
  return kMatMulAvx512.choose_layout(weight, m);
}

int ChunkRows(ActivationLayout layout) {
  return layout == ActivationLayout::kBytes ? kInt8MaxRows : kMatMulAvx512.chunk_rows(layout);
}

void Arrange(ActivationLayout layout, const ActivationArgs& args, std::int64_t begin,
             std::int64_t end, std::byte* arranged) {
  if (layout == ActivationLayout::kBytes) {
    QuantizeActivations(args, begin, end, arranged);
  } else {
    kMatMulAvx512.arrange(layout, args, begin, end, arranged);
  }
}

void Multiply(ActivationLayout layout, const ProductArgs& args, std::int64_t row_begin,
              std::int64_t row_end, std::int64_t begin, std::int64_t end) {
  if (layout == ActivationLayout::kBytes) {
    MultiplyInt8(args, row_begin, row_end, begin, end);
  } else {
    kMatMulAvx512.multiply(layout, args, row_begin, row_end, begin, end);
  }
}

void DecodeValues(const WeightView& weight, std::int64_t begin, std::int64_t count, float* out) {
  kMatMulAvx512.decode(weight, begin, count, out);
}

}  // namespace
}  // namespace avx512_vnni

constinit const MatMulKernels kMatMulAvx512Vnni = {
    .panel_rows = avx512_vnni::kPanelRows,
    .choose_layout = avx512_vnni::ChooseLayout,
    .chunk_rows = avx512_vnni::ChunkRows,
    .arrange = avx512_vnni::Arrange,
    .multiply = avx512_vnni::Multiply,
    .decode = avx512_vnni::DecodeValues,
};

}  // namespace mdsa::kernels
