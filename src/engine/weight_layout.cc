#include "engine/weight_layout.h"

#include "base/checked_math.h"
#include "quant/nf4.h"

namespace mdsa::engine {
namespace {

using kernels::WeightFormat;

bool IsBlockType(DType dtype) { return TraitsOf(dtype).block_elements > 1; }

WeightFormat FormatOf16Bits(DType dtype) {
  return dtype == DType::kF16 ? WeightFormat::kF16 : WeightFormat::kBF16;
}

// Storage that keeps the source's precision; F8 has no kernel and is exact in bf16.
WeightFormat FormatAsStored(DType dtype, bool model_is_quantized) {
  if (IsBlockType(dtype)) return WeightFormat::kBlocks;
  switch (dtype) {
    case DType::kF32:
    case DType::kF64:
      return model_is_quantized ? WeightFormat::kBF16 : WeightFormat::kF32;
    case DType::kF16:
      return WeightFormat::kF16;
    default:
      return WeightFormat::kBF16;
  }
}

WeightFormat ChooseFormat(TensorRole role, DType source, const WeightOptions& options) {
  if (role == TensorRole::kVector) return WeightFormat::kF32;
  if (role == TensorRole::kLinear) {
    switch (options.quantization) {
      case QuantizationType::kInt4:
        return WeightFormat::kNf4;
      case QuantizationType::kInt8:
        return WeightFormat::kInt8;
      case QuantizationType::kFp16:
        return WeightFormat::kF16;
      case QuantizationType::kBFloat16:
        return WeightFormat::kBF16;
      case QuantizationType::kNone:
        break;
    }
  }
  if (options.unquantized_dtype) {
    return *options.unquantized_dtype == DType::kF32 ? WeightFormat::kF32
                                                     : FormatOf16Bits(*options.unquantized_dtype);
  }
  if (options.quantization == QuantizationType::kFp16) return WeightFormat::kF16;
  if (options.quantization == QuantizationType::kBFloat16) return WeightFormat::kBF16;
  return FormatAsStored(source, options.quantization != QuantizationType::kNone);
}

bool SameAsSource(WeightFormat format, DType source) {
  return (format == WeightFormat::kF32 && source == DType::kF32) ||
         (format == WeightFormat::kF16 && source == DType::kF16) ||
         (format == WeightFormat::kBF16 && source == DType::kBF16) ||
         format == WeightFormat::kBlocks;
}

std::uint64_t Aligned(std::uint64_t bytes) {
  return (bytes + WeightLayout::kPartAlignment - 1) & ~(WeightLayout::kPartAlignment - 1);
}

bool IsAligned(const TensorInfo& tensor, const WeightLayout& layout) {
  const std::uintptr_t alignment = layout.format == WeightFormat::kF32 ? 4 : 2;
  return reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % alignment == 0;
}

}  // namespace

std::uint64_t WeightLayout::scale_offset() const { return Aligned(data_bytes); }
std::uint64_t WeightLayout::nested_offset() const { return scale_offset() + Aligned(scale_bytes); }
std::uint64_t WeightLayout::allocated_bytes() const {
  return nested_offset() + Aligned(nested_bytes);
}

WeightLayout LayoutOf(const TensorSpec& spec, DType source_dtype, const WeightOptions& options) {
  WeightLayout layout;
  layout.format = ChooseFormat(spec.role, source_dtype, options);
  layout.same_as_source = SameAsSource(layout.format, source_dtype);
  layout.rows = spec.shape.front();
  layout.cols = spec.shape.size() > 1 ? spec.shape[1] : 1;
  const std::int64_t n = layout.rows * layout.cols;
  switch (layout.format) {
    case WeightFormat::kF32:
      layout.data_bytes = static_cast<std::uint64_t>(n) * 4;
      break;
    case WeightFormat::kF16:
    case WeightFormat::kBF16:
      layout.data_bytes = static_cast<std::uint64_t>(n) * 2;
      break;
    case WeightFormat::kInt8:
      layout.data_bytes = static_cast<std::uint64_t>(n);
      layout.scale_bytes = static_cast<std::uint64_t>(layout.rows) * 4;
      break;
    case WeightFormat::kNf4:
      layout.data_bytes = static_cast<std::uint64_t>(quant::Nf4PackedBytes(n));
      layout.scale_bytes = static_cast<std::uint64_t>(quant::Nf4Blocks(n));
      layout.nested_bytes = static_cast<std::uint64_t>(quant::Nf4NestedBlocks(n)) * 4;
      break;
    case WeightFormat::kBlocks:
      layout.block_type = source_dtype;
      layout.data_bytes = static_cast<std::uint64_t>(ByteSize(source_dtype, n).value_or(0));
      break;
  }
  return layout;
}

bool StaysMapped(const TensorSpec& spec, const TensorInfo& tensor, const WeightLayout& layout) {
  return layout.same_as_source && spec.role != TensorRole::kVector &&
         tensor.row_order == RowOrder::kNatural && IsAligned(tensor, layout);
}

std::uint64_t StoredBytes(const TensorSpec& spec, DType source_dtype,
                          const WeightOptions& options) {
  return LayoutOf(spec, source_dtype, options).stored_bytes();
}

}  // namespace mdsa::engine
