// The table of a target without bf16 instructions: everything in fp32.
#pragma once

#include "kernels/matmul_packed-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

// Fewer activation rows than this run as dot products: packing the weight would cost more than the
// better register tile gives back.
constexpr std::int64_t kMinPackedRows = 10;
constexpr std::int64_t kMinPackedRowsDecoded = 8;  // formats the dot product decodes to a buffer

inline ActivationForm ChooseFloatForm(const WeightView& weight, std::int64_t m) {
  const bool decoded = weight.format > WeightFormat::kInt8;
  return m >= (decoded ? kMinPackedRowsDecoded : kMinPackedRows) ? ActivationForm::kPackedFloat
                                                                 : ActivationForm::kFloat;
}

inline std::int64_t FloatFormBytes(ActivationForm form, std::int64_t m, std::int64_t cols) {
  return form == ActivationForm::kPackedFloat ? 4 * m * cols : 0;
}

inline void PrepareFloat(ActivationForm form, const ActivationArgs& args, std::int64_t begin,
                         std::int64_t end, std::byte* prepared) {
  if (form != ActivationForm::kPackedFloat) return;
  PackActivationsFloat(args, begin, end, reinterpret_cast<float*>(prepared));
}

inline void MultiplyFloatForm(ActivationForm form, const ProductArgs& args, std::int64_t row_begin,
                              std::int64_t row_end, std::int64_t begin, std::int64_t end) {
  if (form == ActivationForm::kPackedFloat) {
    MultiplyPackedFloat(args, row_begin, row_end, begin, end);
  } else {
    MultiplyFloat(args, row_begin, row_end, begin, end);
  }
}

[[maybe_unused]] constexpr MatMulKernels kFloatKernels = {
    .max_chunk_rows = kMaxTileRows,
    .panel_rows = kPanelRows,
    .choose_form = [](const WeightView& weight, std::int64_t m,
                      bool) { return ChooseFloatForm(weight, m); },
    .form_bytes = FloatFormBytes,
    .prepare = PrepareFloat,
    .multiply = MultiplyFloatForm,
    .decode = Decode,
};

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
