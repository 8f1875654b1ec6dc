#define MDSA_TARGET_NAMESPACE avx512_bf16
#include "kernels/simd_avx512-inl.h"
// Above: the vectors that the kernels below are written in.
#include "kernels/matmul_int8-inl.h"
#include "kernels/matmul_target-inl.h"

namespace mdsa::kernels {
namespace avx512_bf16 {
namespace {

// Fewer activation rows than these run as dot products in the named format.
constexpr std::int64_t kMinPackedRowsBf16 = 12;
constexpr std::int64_t kMinPackedRowsInt8 = 12;
constexpr std::int64_t kMinPackedRowsNf4 = 16;
constexpr std::int64_t kMinPackedRowsBlocks = 4;
// The scales of kDotTileN rows must fit the scratch.
constexpr std::int64_t kMaxSplitCols = std::int64_t{1} << 18;

ActivationForm ChooseForm(const WeightView& weight, std::int64_t m, bool reduced) {
  if (!reduced) return ChooseFloatForm(weight, m);
  const auto pick = [m](std::int64_t min_packed, ActivationForm form) {
    return m >= min_packed ? ActivationForm::kPackedBf16 : form;
  };
  switch (weight.format) {
    case WeightFormat::kF32:
      return ChooseFloatForm(weight, m);
    case WeightFormat::kF16:
      return pick(kMinPackedRows, ActivationForm::kFloat);
    case WeightFormat::kBF16:
      return pick(kMinPackedRowsBf16, ActivationForm::kBf16);
    case WeightFormat::kInt8:
      return pick(kMinPackedRowsInt8, ActivationForm::kInt8);
    case WeightFormat::kNf4:
      if (weight.cols % quant::kNf4BlockSize != 0 || weight.cols > kMaxSplitCols) {
        return pick(kMinPackedRowsDecoded, ActivationForm::kFloat);
      }
      return pick(kMinPackedRowsNf4, ActivationForm::kSplitBf16);
    case WeightFormat::kBlocks:
      return pick(kMinPackedRowsBlocks, ActivationForm::kFloat);
  }
  return ActivationForm::kFloat;
}

std::int64_t FormBytes(ActivationForm form, std::int64_t m, std::int64_t cols) {
  switch (form) {
    case ActivationForm::kBf16:
      return 2 * m * RoundUpTo(cols, kBf16Lanes);
    case ActivationForm::kSplitBf16:
      return 2 * m * RoundUpTo(cols, quant::kNf4BlockSize);
    case ActivationForm::kInt8:
      return m * Int8RowBytes(cols);
    case ActivationForm::kPackedBf16:
      return 4 * m * ((cols + 1) / kPair);
    default:
      return FloatFormBytes(form, m, cols);
  }
}

void Prepare(ActivationForm form, const ActivationArgs& args, std::int64_t begin, std::int64_t end,
             std::byte* prepared) {
  switch (form) {
    case ActivationForm::kBf16:
      return PrepareBf16Rows<false>(args, begin, end, reinterpret_cast<std::uint16_t*>(prepared));
    case ActivationForm::kSplitBf16:
      return PrepareBf16Rows<true>(args, begin, end, reinterpret_cast<std::uint16_t*>(prepared));
    case ActivationForm::kInt8:
      return PrepareInt8(args, begin, end, prepared);
    case ActivationForm::kPackedBf16:
      return PackActivationsBf16(args, begin, end, reinterpret_cast<float*>(prepared));
    default:
      return PrepareFloat(form, args, begin, end, prepared);
  }
}

void Multiply(ActivationForm form, const ProductArgs& args, std::int64_t row_begin,
              std::int64_t row_end, std::int64_t begin, std::int64_t end) {
  switch (form) {
    case ActivationForm::kBf16:
      return MultiplyBf16(args, row_begin, row_end, begin, end);
    case ActivationForm::kSplitBf16:
      return MultiplyNf4(args, row_begin, row_end, begin, end);
    case ActivationForm::kInt8:
      return MultiplyInt8(args, row_begin, row_end, begin, end);
    case ActivationForm::kPackedBf16:
      return MultiplyPackedBf16(args, row_begin, row_end, begin, end);
    default:
      return MultiplyFloatForm(form, args, row_begin, row_end, begin, end);
  }
}

}  // namespace
}  // namespace avx512_bf16

const MatMulKernels kMatMulAvx512Bf16 = {
    .max_chunk_rows = avx512_bf16::kMaxTileRows,
    .panel_rows = avx512_bf16::kPanelRows,
    .choose_form = avx512_bf16::ChooseForm,
    .form_bytes = avx512_bf16::FormBytes,
    .prepare = avx512_bf16::Prepare,
    .multiply = avx512_bf16::Multiply,
    .decode = avx512_bf16::Decode,
};

}  // namespace mdsa::kernels
