#include "engine/weight_store.h"

#include "base/check.h"

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

Linear WeightStore::LinearOf(const std::string& name) const {
  return {Matrix(name + ".weight"), Vector(name + ".bias")};
}

Norm WeightStore::NormOf(const std::string& name) const {
  return {Vector(name + ".weight"), Vector(name + ".bias")};
}

}  // namespace mdsa::engine
