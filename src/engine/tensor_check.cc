#include "engine/tensor_check.h"

#include <fmt/ranges.h>

#include <cstdint>
#include <utility>

#include "base/checked_math.h"
#include "base/error.h"
#include "engine/family.h"

namespace mdsa::engine {
namespace {

Status CheckRowOrder(const TensorInfo& tensor) {
  if (tensor.row_order == RowOrder::kNatural) return {};
  const std::int64_t rows = tensor.shape.front();
  if (tensor.heads < 1 || rows % tensor.heads != 0 || rows / tensor.heads % 2 != 0) {
    return Err(ErrorCode::kInvalidFormat,
               "its {} rows do not divide into {} heads of an even number of rows", rows,
               tensor.heads);
  }
  return {};
}

Status CheckTensor(const TensorSpec& spec, const TensorInfo& tensor) {
  if (tensor.shape != spec.shape) {
    return Err(ErrorCode::kInvalidFormat,
               "shape [{}] where the configuration asks for [{}]; config and weights belong to "
               "different models",
               fmt::join(tensor.shape, ", "), fmt::join(spec.shape, ", "));
  }
  const DTypeTraits& traits = TraitsOf(tensor.dtype);
  if (!traits.is_float) {
    return Err(ErrorCode::kUnsupported,
               "element type {} where a floating-point type is needed; load the original, "
               "unquantized checkpoint",
               traits.name);
  }
  const std::int64_t row = spec.shape.size() > 1 ? spec.shape[1] : spec.shape[0];
  if (row % traits.block_elements != 0) {
    return Err(ErrorCode::kInvalidFormat, "rows of {} values do not divide into {} blocks of {}",
               row, traits.name, traits.block_elements);
  }
  const auto elements = CheckedProduct(tensor.shape);
  const auto bytes = elements ? ByteSize(tensor.dtype, *elements) : std::nullopt;
  if (!bytes || static_cast<std::uint64_t>(*bytes) != tensor.bytes.size()) {
    return Err(ErrorCode::kInvalidFormat, "{} bytes of data do not match shape [{}] of {}",
               tensor.bytes.size(), fmt::join(tensor.shape, ", "), traits.name);
  }
  return CheckRowOrder(tensor);
}

std::unexpected<Error> Missing(const TensorSpec& spec, const ArchitectureConfig& config) {
  return Err(ErrorCode::kInvalidFormat,
             "tensor '{}' [{}] is missing from the checkpoint; it is incomplete or of another "
             "architecture than {}",
             spec.name, fmt::join(spec.shape, ", "), config.architecture);
}

}  // namespace

Status VisitTensors(const TensorSource& source, const ArchitectureConfig& config,
                    FunctionRef<Status(const TensorSpec& spec, const TensorInfo& tensor)> visit) {
  Status status;
  const auto check = [&](const TensorSpec& spec) {
    const TensorInfo* tensor = FindTensor(source, config.family, spec.name);
    if (tensor == nullptr) {
      if (spec.required) status = Missing(spec, config);
    } else if (status = CheckTensor(spec, *tensor); !status) {
      status.error().AddContext(fmt::format("tensor '{}'", tensor->name));
    } else {
      status = visit(spec, *tensor);
    }
    return status.has_value();
  };
  SpecVisitor visitor(check);
  FamilyOf(config.family).visit(config, visitor);
  return status;
}

}  // namespace mdsa::engine
