#include "engine/weight_convert.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>

#include "base/checked_math.h"
#include "base/error.h"
#include "base/page_buffer.h"
#include "kernels/codec.h"
#include "quant/nf4.h"

namespace mdsa::engine {
namespace {

using kernels::WeightFormat;

constexpr std::int64_t kSliceElements = 1 << 16;

// The row of the source that holds row `row` of the Hugging Face order.
std::int64_t SourceRow(const TensorInfo& tensor, std::int64_t rows, std::int64_t row) {
  if (tensor.row_order == RowOrder::kNatural) return row;
  const std::int64_t head_rows = rows / tensor.heads;
  const std::int64_t half = head_rows / 2;
  const std::int64_t first = row - row % head_rows;
  const std::int64_t j = row % head_rows;
  return first + (j < half ? 2 * j : 2 * (j - half) + 1);
}

// Rows of one slice: about kSliceElements. For NF4 a multiple of its blocks, so that each slice
// starts a block: 64 rows where the number of columns is odd.
std::int64_t SliceRows(const WeightLayout& layout) {
  const std::int64_t unit = layout.format == WeightFormat::kNf4
                                ? quant::kNf4BlockSize / std::gcd(quant::kNf4BlockSize, layout.cols)
                                : 1;
  return std::min(layout.rows, std::max(unit, kSliceElements / layout.cols / unit * unit));
}

class Converter {
 public:
  Converter(const TensorInfo& tensor, const WeightLayout& layout, std::byte* destination)
      : tensor_(tensor), layout_(layout), destination_(destination) {}

  Status Run(const std::stop_token& stop) {
    const std::int64_t slice_rows = SliceRows(layout_);
    MDSA_TRY(AllocateScratch(slice_rows * layout_.cols));
    for (std::int64_t row = 0; row < layout_.rows; row += slice_rows) {
      if (stop.stop_requested()) return Err(ErrorCode::kCancelled, "the load was cancelled");
      const std::int64_t rows = std::min(slice_rows, layout_.rows - row);
      if (layout_.same_as_source) {
        CopyRows(row, rows);
      } else {
        DecodeRows(row, rows);
        EncodeRows(row, rows);
      }
    }
    if (layout_.format == WeightFormat::kNf4) Nest();
    return {};
  }

  kernels::WeightView View() const {
    kernels::WeightView view;
    view.format = layout_.format;
    view.block_type = layout_.block_type;
    view.rows = layout_.rows;
    view.cols = layout_.cols;
    view.data = destination_;
    if (layout_.format == WeightFormat::kInt8) view.row_scale = scales();
    if (layout_.format == WeightFormat::kNf4) {
      view.absmax_codes = codes();
      view.nested_absmax = nested();
      view.absmax_offset = offset_;
    }
    return view;
  }

 private:
  Status AllocateScratch(std::int64_t slice_elements) {
    if (!layout_.same_as_source) {
      MDSA_ASSIGN(values_, PageBuffer::Allocate(static_cast<std::size_t>(slice_elements) * 4));
    }
    if (layout_.format == WeightFormat::kNf4) {
      MDSA_ASSIGN(absmax_, PageBuffer::Allocate(static_cast<std::size_t>(blocks()) * 4));
    }
    return {};
  }

  std::int64_t blocks() const { return quant::Nf4Blocks(layout_.rows * layout_.cols); }
  float* values() { return reinterpret_cast<float*>(values_.data()); }
  float* absmax() { return reinterpret_cast<float*>(absmax_.data()); }
  float* scales() const { return reinterpret_cast<float*>(destination_ + layout_.scale_offset()); }
  std::uint8_t* codes() const {
    return reinterpret_cast<std::uint8_t*>(destination_ + layout_.scale_offset());
  }
  float* nested() const { return reinterpret_cast<float*>(destination_ + layout_.nested_offset()); }

  // Bytes of `elements` values of the source; they are whole blocks.
  std::size_t SourceBytes(std::int64_t elements) const {
    const DTypeTraits& traits = TraitsOf(tensor_.dtype);
    return static_cast<std::size_t>(elements / traits.block_elements * traits.block_bytes);
  }
  const std::byte* SourceAt(std::int64_t row) const {
    return tensor_.bytes.data() + SourceBytes(row * layout_.cols);
  }

  void CopyRows(std::int64_t row, std::int64_t rows) {
    const std::size_t row_bytes = SourceBytes(layout_.cols);
    std::byte* out = destination_ + static_cast<std::size_t>(row) * row_bytes;
    if (tensor_.row_order == RowOrder::kNatural) {
      std::memcpy(out, SourceAt(row), static_cast<std::size_t>(rows) * row_bytes);
      return;
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      std::memcpy(out + static_cast<std::size_t>(i) * row_bytes,
                  SourceAt(SourceRow(tensor_, layout_.rows, row + i)), row_bytes);
    }
  }

  void DecodeRows(std::int64_t row, std::int64_t rows) {
    const auto cols = static_cast<std::size_t>(layout_.cols);
    if (tensor_.row_order == RowOrder::kNatural) {
      kernels::DecodeToFloat(tensor_.dtype, SourceAt(row),
                             {values(), static_cast<std::size_t>(rows) * cols});
      return;
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      kernels::DecodeToFloat(tensor_.dtype, SourceAt(SourceRow(tensor_, layout_.rows, row + i)),
                             {values() + i * layout_.cols, cols});
    }
  }

  void EncodeRows(std::int64_t row, std::int64_t rows) {
    const std::int64_t first = row * layout_.cols;
    const std::int64_t n = rows * layout_.cols;
    const std::span<const float> slice(values(), static_cast<std::size_t>(n));
    switch (layout_.format) {
      case WeightFormat::kF32:
        std::memcpy(destination_ + first * 4, slice.data(), slice.size_bytes());
        break;
      case WeightFormat::kF16:
        kernels::EncodeFloat16(slice, reinterpret_cast<Float16*>(destination_) + first);
        break;
      case WeightFormat::kBF16:
        kernels::EncodeBFloat16(slice, reinterpret_cast<BFloat16*>(destination_) + first);
        break;
      case WeightFormat::kInt8:
        EncodeInt8(row, rows);
        break;
      case WeightFormat::kNf4:
        kernels::Nf4Encode(slice,
                           {reinterpret_cast<std::uint8_t*>(destination_) + first / 2,
                            static_cast<std::size_t>(quant::Nf4PackedBytes(n))},
                           {absmax() + first / quant::kNf4BlockSize,
                            static_cast<std::size_t>(quant::Nf4Blocks(n))});
        break;
      case WeightFormat::kBlocks:
        break;  // always the same as the source
    }
  }

  void EncodeInt8(std::int64_t row, std::int64_t rows) {
    const auto cols = static_cast<std::size_t>(layout_.cols);
    for (std::int64_t i = 0; i < rows; ++i) {
      auto* out = reinterpret_cast<std::int8_t*>(destination_) + (row + i) * layout_.cols;
      scales()[row + i] = kernels::Int8EncodeRow({values() + i * layout_.cols, cols}, {out, cols});
    }
  }

  void Nest() {
    const auto n = static_cast<std::size_t>(blocks());
    offset_ =
        quant::Nf4NestReference({absmax(), n}, {codes(), n},
                                {nested(), static_cast<std::size_t>(layout_.nested_bytes / 4)});
  }

  const TensorInfo& tensor_;
  const WeightLayout& layout_;
  std::byte* destination_;
  PageBuffer values_;  // one slice, fp32
  PageBuffer absmax_;  // of the whole tensor, fp32
  float offset_ = 0.0f;
};

}  // namespace

std::uint64_t ConvertScratchBytes(const WeightLayout& layout) {
  const std::int64_t slice = layout.same_as_source ? 0 : SliceRows(layout) * layout.cols;
  const std::int64_t scales =
      layout.format == WeightFormat::kNf4 ? quant::Nf4Blocks(layout.rows * layout.cols) : 0;
  return static_cast<std::uint64_t>(slice + scales) * 4;
}

Result<kernels::WeightView> ConvertTensor(const TensorInfo& tensor, const WeightLayout& layout,
                                          std::byte* destination, const std::stop_token& stop) {
  Converter converter(tensor, layout, destination);
  MDSA_TRY(converter.Run(stop));
  return converter.View();
}

kernels::WeightView MappedView(const TensorInfo& tensor, const WeightLayout& layout) {
  kernels::WeightView view;
  view.format = layout.format;
  view.block_type = layout.block_type;
  view.rows = layout.rows;
  view.cols = layout.cols;
  view.data = tensor.bytes.data();
  return view;
}

}  // namespace mdsa::engine
