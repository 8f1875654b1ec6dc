#include "engine/weight_loader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "base/checked_math.h"
#include "base/error.h"
#include "engine/family.h"
#include "engine/weight_convert.h"

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

Status CheckTensor(const TensorInfo& tensor, const TensorSpec& spec) {
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

bool IsAligned(const TensorInfo& tensor, const WeightLayout& layout) {
  const std::uintptr_t alignment = layout.format == kernels::WeightFormat::kF32 ? 4 : 2;
  return reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % alignment == 0;
}

Error Cancelled() { return Error(ErrorCode::kCancelled, "the load was cancelled"); }

}  // namespace

Status WeightLoader::AddItem(const TensorSpec& spec) {
  const TensorInfo* tensor = FindTensor(*input_.tensors, input_.config.family, spec.name);
  if (tensor == nullptr) {
    if (!spec.required) return {};
    return Err(ErrorCode::kInvalidFormat,
               "tensor '{}' [{}] is missing from the checkpoint; it is incomplete or of another "
               "architecture than {}",
               spec.name, fmt::join(spec.shape, ", "), input_.config.architecture);
  }
  if (auto status = CheckTensor(*tensor, spec); !status) {
    return std::unexpected(
        std::move(status).error().AddContext(fmt::format("tensor '{}'", tensor->name)));
  }
  Item item;
  item.spec = spec;
  item.tensor = tensor;
  item.layout = LayoutOf(spec, tensor->dtype, input_.weights);
  item.mapped = item.layout.same_as_source && spec.role != TensorRole::kVector &&
                tensor->row_order == RowOrder::kNatural && IsAligned(*tensor, item.layout);
  items_.push_back(std::move(item));
  return {};
}

Status WeightLoader::Collect() {
  // Stops at the first error, so that a config that claims billions of layers costs nothing.
  Status status;
  const auto add = [&](const TensorSpec& spec) {
    status = AddItem(spec);
    return status.has_value();
  };
  SpecVisitor visitor(add);
  FamilyOf(input_.config.family).visit(input_.config, visitor);
  return status;
}

Status WeightLoader::Allocate() {
  std::uint64_t total = 0;
  for (Item& item : items_) {
    if (item.mapped) continue;
    item.offset = total;
    total += item.layout.allocated_bytes();
  }
  MDSA_ASSIGN(pages_, PageBuffer::Allocate(total));
  return {};
}

void WeightLoader::Fail(Error error) {
  const std::scoped_lock lock(mutex_);
  if (!error_) error_ = std::move(error);
}

void WeightLoader::Report(std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  bytes_done_ += bytes;
  if (input_.on_progress) input_.on_progress(bytes_done_);
}

void WeightLoader::ConvertItem(Item& item) {
  if (item.mapped) {
    item.view = MappedView(*item.tensor, item.layout);
  } else {
    auto view = ConvertTensor(*item.tensor, item.layout, pages_.data() + item.offset, input_.stop);
    if (!view) {
      Fail(std::move(view).error().AddContext(fmt::format("tensor '{}'", item.tensor->name)));
      return;
    }
    item.view = *view;
    input_.tensors->ReleasePages(*item.tensor);
  }
  Report(item.tensor->bytes.size());
}

Status WeightLoader::Convert() {
  std::vector<std::size_t> order(items_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t i) {
    return items_[i].mapped ? 0 : items_[i].tensor->bytes.size();
  });
  ThreadPool pool(input_.load_threads);
  pool.ParallelFor(std::ssize(order), 1, [&](std::int64_t begin, std::int64_t) {
    if (input_.stop.stop_requested()) return Fail(Cancelled());
    {
      const std::scoped_lock lock(mutex_);
      if (error_) return;
    }
    ConvertItem(items_[order[static_cast<std::size_t>(begin)]]);
  });
  // A stop that came during the last tensor still means that nobody wants the model.
  if (!error_ && input_.stop.stop_requested()) error_ = Cancelled();
  if (error_) return std::unexpected(*std::move(error_));
  return {};
}

WeightStore WeightLoader::Finish() {
  WeightStore store;
  for (const Item& item : items_) {
    WeightStore::Stored stored;
    stored.view = item.view;
    if (item.spec.role == TensorRole::kVector) {
      stored.vector = reinterpret_cast<const float*>(item.view.data);
    }
    store.tensors_.emplace(item.spec.name, stored);
    store.bytes_ += item.layout.stored_bytes();
    store.parameters_ += item.layout.rows * item.layout.cols;
    if (item.mapped) store.mapped_ = input_.tensors;
  }
  store.pages_ = std::move(pages_);
  return store;
}

Result<WeightStore> WeightLoader::Load() {
  MDSA_TRY(Collect());
  if (input_.stop.stop_requested()) return std::unexpected(Cancelled());
  MDSA_TRY(Allocate());
  MDSA_TRY(Convert());
  // What was converted while somebody rewrote the file is of no known content.
  MDSA_TRY(input_.tensors->CheckUnchanged());
  return Finish();
}

}  // namespace mdsa::engine
