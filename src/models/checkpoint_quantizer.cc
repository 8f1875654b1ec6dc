#include "models/checkpoint_quantizer.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "base/callback.h"
#include "base/error.h"
#include "engine/tensor_check.h"
#include "engine/weight_convert.h"
#include "engine/weight_layout.h"

namespace mdsa {
namespace {

std::unexpected<Error> AtTensor(Error error, std::string_view name) {
  return std::unexpected(std::move(error).AddContext(fmt::format("tensor '{}'", name)));
}

engine::WeightOptions Quantized(QuantizationType quantization) {
  return {.quantization = quantization, .unquantized_dtype = std::nullopt};
}

}  // namespace

// transformers casts every floating-point tensor to config.json's type before it quantizes; without
// one, to that of the first tensor.
Status CheckpointQuantizer::ChooseDType() {
  std::optional<DType> dtype = checkpoint_.config().stored_dtype;
  for (const TensorInfo& tensor : checkpoint_.tensors()->tensors()) {
    if (!dtype && TraitsOf(tensor.dtype).is_float) dtype = tensor.dtype;
  }
  dtype_ = dtype.value_or(DType::kF32);
  if (!TorchName(dtype_).empty()) return {};
  return Err(ErrorCode::kUnsupported,
             "weights of type {} cannot be quantized to a file; F32, F16 and BF16 can",
             DTypeName(dtype_));
}

Result<CheckpointQuantizer::Roles> CheckpointQuantizer::FindRoles() const {
  Roles roles;
  const auto add = [&](const engine::TensorSpec& spec, const TensorInfo& tensor) -> Status {
    roles.emplace(&tensor, spec.role);
    return {};
  };
  MDSA_TRY(engine::VisitTensors(*checkpoint_.tensors(), checkpoint_.config(), add));
  return roles;
}

Status CheckpointQuantizer::Collect() {
  MDSA_ASSIGN(const Roles roles, FindRoles());
  for (const TensorInfo& tensor : checkpoint_.tensors()->tensors()) {
    // With tied embeddings the head is the embedding; transformers does not save it either.
    if (checkpoint_.config().tie_word_embeddings && tensor.name == "lm_head.weight") continue;
    const auto role = roles.find(&tensor);
    // A matrix of unknown role could be a linear layer that bitsandbytes would convert.
    if (role == roles.end() && tensor.shape.size() > 1 && TraitsOf(tensor.dtype).is_float) {
      return AtTensor(
          Error(ErrorCode::kUnsupported,
                fmt::format("it is no part of {} as this version knows it, so nothing says whether "
                            "to quantize it",
                            checkpoint_.config().architecture)),
          tensor.name);
    }
    const bool quantized = role != roles.end() && role->second == engine::TensorRole::kLinear;
    items_.push_back({&tensor, quantized, ""});
    report_.source_bytes += tensor.bytes.size();
    ++(quantized ? report_.quantized_tensors : report_.kept_tensors);
    const bool twice = quantized && options_.quantization == QuantizationType::kInt4;
    bytes_total_ += tensor.bytes.size() * (twice ? 2 : 1);
  }
  return {};
}

Result<CheckpointQuantizer::Plain> CheckpointQuantizer::InModelType(
    const TensorInfo& tensor) const {
  const bool convert =
      TraitsOf(tensor.dtype).is_float && tensor.dtype != dtype_ && !tensor.shape.empty();
  if (!convert) return Plain{tensor, {}};
  const engine::TensorSpec spec = {tensor.name, tensor.shape, engine::TensorRole::kHead, true};
  engine::WeightLayout layout = engine::LayoutOf(
      spec, tensor.dtype, {.quantization = QuantizationType::kNone, .unquantized_dtype = dtype_});
  Plain plain{tensor, {}};
  MDSA_ASSIGN(plain.buffer, PageBuffer::Allocate(layout.allocated_bytes()));
  MDSA_TRY(engine::ConvertTensor(tensor, layout, plain.buffer.data(), options_.stop));
  plain.tensor.dtype = dtype_;
  plain.tensor.bytes = plain.buffer.bytes().first(layout.data_bytes);
  return plain;
}

Result<std::vector<QuantizedPart>> CheckpointQuantizer::Encode(Item& item,
                                                               PageBuffer& buffer) const {
  MDSA_ASSIGN(const Plain plain, InModelType(*item.tensor));
  const engine::TensorSpec spec = {item.tensor->name, item.tensor->shape,
                                   engine::TensorRole::kLinear, true};
  const engine::WeightLayout layout =
      engine::LayoutOf(spec, dtype_, Quantized(options_.quantization));
  MDSA_ASSIGN(buffer, PageBuffer::Allocate(layout.allocated_bytes()));
  MDSA_ASSIGN(const kernels::WeightView view,
              engine::ConvertTensor(plain.tensor, layout, buffer.data(), options_.stop));
  const std::span<const std::byte> bytes = buffer.bytes();
  const auto data = bytes.first(layout.data_bytes);
  const auto scales = bytes.subspan(layout.scale_offset(), layout.scale_bytes);
  if (options_.quantization == QuantizationType::kInt8) {
    return PartsOfInt8(item.tensor->name, layout.rows, layout.cols, data, scales);
  }
  if (!std::isfinite(view.absmax_offset)) {
    return Err(ErrorCode::kInvalidFormat, "it holds values that are not finite");
  }
  item.quant_state = Nf4QuantState(dtype_, item.tensor->shape, view.absmax_offset);
  return PartsOfNf4(item.tensor->name, item.tensor->elements(),
                    {.packed = data,
                     .absmax_codes = scales,
                     .nested_absmax = bytes.subspan(layout.nested_offset(), layout.nested_bytes),
                     .quant_state = item.quant_state});
}

Result<SafetensorsLayout> CheckpointQuantizer::Plan() {
  MDSA_TRY(ChooseDType());
  MDSA_TRY(Collect());
  std::vector<SafetensorsEntry> entries;
  for (Item& item : items_) {
    const TensorInfo& tensor = *item.tensor;
    if (!item.quantized) {
      const bool cast = TraitsOf(tensor.dtype).is_float && !tensor.shape.empty();
      entries.push_back({tensor.name, cast ? dtype_ : tensor.dtype, tensor.shape});
      continue;
    }
    if (options_.quantization == QuantizationType::kInt8) {
      for (auto& part : PartsOfInt8(tensor.name, tensor.shape[0], tensor.shape[1], {}, {})) {
        entries.push_back(std::move(part.entry));
      }
      continue;
    }
    PageBuffer buffer;
    auto parts = Encode(item, buffer);
    if (!parts) return AtTensor(std::move(parts).error(), tensor.name);
    for (QuantizedPart& part : *parts) entries.push_back(std::move(part.entry));
    MDSA_TRY(Report(tensor));
  }
  MDSA_ASSIGN(SafetensorsLayout layout,
              SafetensorsLayout::Create(std::move(entries), {{"format", "pt"}}));
  report_.file_bytes = layout.file_bytes();
  return layout;
}

Status CheckpointQuantizer::WriteItem(Item& item, const SafetensorsLayout& layout,
                                      OutputFile& file) {
  const auto write = [&](std::string_view name, std::span<const std::byte> bytes) {
    return file.WriteAt(layout.Find(name)->offset, bytes);
  };
  if (!item.quantized) {
    MDSA_ASSIGN(const Plain plain, InModelType(*item.tensor));
    return write(plain.tensor.name, plain.tensor.bytes);
  }
  PageBuffer buffer;
  MDSA_ASSIGN(const std::vector<QuantizedPart> parts, Encode(item, buffer));
  for (const QuantizedPart& part : parts) MDSA_TRY(write(part.entry.name, part.bytes));
  return {};
}

Status CheckpointQuantizer::Write(const SafetensorsLayout& layout, OutputFile& file) {
  for (Item& item : items_) {
    if (options_.stop.stop_requested()) return Err(ErrorCode::kCancelled, "cancelled");
    if (auto status = WriteItem(item, layout, file); !status) {
      return AtTensor(std::move(status).error(), item.tensor->name);
    }
    MDSA_TRY(Report(*item.tensor));
  }
  // What was converted while somebody rewrote the source is of no known content.
  return checkpoint_.tensors()->CheckUnchanged();
}

Status CheckpointQuantizer::Report(const TensorInfo& tensor) {
  checkpoint_.tensors()->ReleasePages(tensor);
  bytes_done_ += tensor.bytes.size();
  if (!options_.on_progress) return {};
  return CallApplication("progress callback",
                         [&] { options_.on_progress({"convert", bytes_done_, bytes_total_}); });
}

}  // namespace mdsa
