#include "engine/weight_loader.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "base/callback.h"
#include "base/error.h"
#include "engine/tensor_check.h"
#include "engine/weight_convert.h"

namespace mdsa::engine {
namespace {

Error Cancelled() { return Error(ErrorCode::kCancelled, "the load was cancelled"); }

}  // namespace

Status WeightLoader::Collect() {
  return VisitTensors(*input_.tensors, input_.config,
                      [&](const TensorSpec& spec, const TensorInfo& tensor) -> Status {
                        Item item;
                        item.spec = spec;
                        item.tensor = &tensor;
                        item.layout = LayoutOf(spec, tensor.dtype, input_.weights);
                        item.mapped = StaysMapped(spec, tensor, item.layout);
                        items_.push_back(std::move(item));
                        return {};
                      });
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
  const MutexLock lock(mutex_);
  if (!error_) error_ = std::move(error);
}

bool WeightLoader::failed() const {
  const MutexLock lock(mutex_);
  return error_.has_value();
}

void WeightLoader::Report(std::uint64_t bytes) {
  if (!input_.on_progress) return;
  {
    const MutexLock lock(mutex_);
    bytes_done_ += bytes;
    unreported_.push_back(bytes_done_);
    if (std::exchange(reporting_, true)) return;
  }
  while (true) {
    std::uint64_t done = 0;
    {
      const MutexLock lock(mutex_);
      if (unreported_.empty() || error_ || input_.stop.stop_requested()) {
        unreported_.clear();
        reporting_ = false;
        return;
      }
      done = unreported_.front();
      unreported_.pop_front();
    }
    auto called = CallApplication("progress callback", [&] { input_.on_progress(done); });
    if (!called) Fail(std::move(called).error());
  }
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
  const auto useful = std::max<std::int64_t>(1, std::ssize(order));
  ThreadPool pool(static_cast<int>(std::min<std::int64_t>(input_.load_threads, useful)));
  pool.ParallelFor(std::ssize(order), 1, [&](std::int64_t begin, std::int64_t) {
    if (input_.stop.stop_requested()) return Fail(Cancelled());
    if (!failed()) ConvertItem(items_[order[static_cast<std::size_t>(begin)]]);
  });
  // A stop that came during the last tensor still means that nobody wants the model.
  if (input_.stop.stop_requested()) Fail(Cancelled());
  const MutexLock lock(mutex_);
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
    if (!item.mapped) continue;
    store.mapped_bytes_ += item.layout.stored_bytes();
    store.mapped_ = input_.tensors;
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
  // Neighbours of what was read, and headers: what is used again comes from the page cache.
  input_.tensors->ReleaseAllPages();
  return Finish();
}

}  // namespace mdsa::engine
