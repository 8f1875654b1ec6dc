#include "engine/weight_store.h"

#include "base/check.h"
#include "base/heap_bytes.h"

namespace mdsa::engine {

const WeightStore::Stored* WeightStore::Find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

const kernels::WeightView& WeightStore::Matrix(std::string_view name) const {
  const Stored* stored = Find(name);
  MDSA_CHECK(stored != nullptr);
  return stored->view;
}

const float* WeightStore::Vector(std::string_view name) const {
  const Stored* stored = Find(name);
  return stored == nullptr ? nullptr : stored->vector;
}

std::uint64_t WeightStore::memory_bytes() const {
  std::uint64_t bytes = mapped_bytes_ + PageBuffer::Footprint(pages_.size());
  // The networks hold views of about the same size once more, and a source that stays mapped its
  // descriptions of the tensors.
  bytes += (mapped_ == nullptr ? 2 : 5) * HashNodesBytes(tensors_);
  for (const auto& [name, stored] : tensors_) bytes += HeapBytes(name);
  return bytes;
}

Linear WeightStore::LinearOf(const std::string& name) const {
  return {Matrix(name + ".weight"), Vector(name + ".bias")};
}

Norm WeightStore::NormOf(const std::string& name) const {
  return {Vector(name + ".weight"), Vector(name + ".bias")};
}

}  // namespace mdsa::engine
