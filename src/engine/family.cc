#include "engine/family.h"

#include <array>

#include "base/check.h"

namespace mdsa::engine {

const Family& FamilyOf(ModelFamily id) {
  for (const Family* family : {&kBertFamily, &kLlamaFamily, &kPhiFamily}) {
    if (family->id == id) return *family;
  }
  MDSA_CHECK(false);
  return kLlamaFamily;
}

std::vector<TensorSpec> TensorSpecs(const ArchitectureConfig& config) {
  std::vector<TensorSpec> specs;
  const auto collect = [&](const TensorSpec& spec) {
    specs.push_back(spec);
    return true;
  };
  SpecVisitor visitor(collect);
  FamilyOf(config.family).visit(config, visitor);
  return specs;
}

const TensorInfo* FindTensor(const TensorSource& source, ModelFamily family,
                             std::string_view name) {
  const std::string prefixed = std::string(FamilyOf(family).prefix) + std::string(name);
  if (const TensorInfo* tensor = source.Find(prefixed)) return tensor;
  if (const TensorInfo* tensor = source.Find(name)) return tensor;
  for (const auto& [now, then] :
       {std::pair<std::string_view, std::string_view>{"LayerNorm.weight", "LayerNorm.gamma"},
        {"LayerNorm.bias", "LayerNorm.beta"}}) {
    if (!name.ends_with(now)) continue;
    const std::string old =
        std::string(name.substr(0, name.size() - now.size())) + std::string(then);
    if (const TensorInfo* tensor = source.Find(std::string(FamilyOf(family).prefix) + old)) {
      return tensor;
    }
    return source.Find(old);
  }
  return nullptr;
}

}  // namespace mdsa::engine
