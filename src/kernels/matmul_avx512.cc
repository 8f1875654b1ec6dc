#define MDSA_TARGET_NAMESPACE avx512
#include "kernels/simd_avx512-inl.h"
// Above: the vectors that the kernels below are written in.
#include "kernels/matmul_nf4-inl.h"
#include "kernels/matmul_target-inl.h"

namespace mdsa::kernels {
namespace avx512 {
namespace {

// From this many activation rows on, NF4 is faster decoded once into a panel.
constexpr std::int64_t kMinPackedRowsNf4 = 24;

ActivationLayout ChooseLayoutWithNf4(const WeightView& weight, std::int64_t m) {
  if (HasNf4Dot(weight) && m < kMinPackedRowsNf4) return ActivationLayout::kPicks;
  return ChooseLayout(weight, m);
}

void ArrangeWithNf4(ActivationLayout layout, const ActivationArgs& args, std::int64_t begin,
                    std::int64_t end, std::byte* arranged) {
  if (layout == ActivationLayout::kPicks) {
    PickActivations(args, begin, end, reinterpret_cast<float*>(arranged));
  } else {
    Arrange(layout, args, begin, end, arranged);
  }
}

void MultiplyWithNf4(ActivationLayout layout, const ProductArgs& args, std::int64_t row_begin,
                     std::int64_t row_end, std::int64_t begin, std::int64_t end) {
  if (layout == ActivationLayout::kPicks) {
    MultiplyNf4(args, row_begin, row_end, begin, end);
  } else {
    Multiply(layout, args, row_begin, row_end, begin, end);
  }
}

}  // namespace
}  // namespace avx512

constinit const MatMulKernels kMatMulAvx512 = {
    .panel_rows = avx512::kPanelRows,
    .choose_layout = avx512::ChooseLayoutWithNf4,
    .chunk_rows = avx512::ChunkRows,
    .arrange = avx512::ArrangeWithNf4,
    .multiply = avx512::MultiplyWithNf4,
    .decode = avx512::Decode,
};

}  // namespace mdsa::kernels
