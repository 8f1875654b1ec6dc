// A model as Python holds it: loaded for good, a handle of a manager, or leased.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "lease.h"
#include "mdsa/model.h"
#include "mdsa/model_manager.h"

namespace mdsa::python {

// Cheap to copy. Thread-safe as Model and ModelHandle are.
class PyModel {
 public:
  explicit PyModel(std::shared_ptr<const Model> model) : model_(std::move(model)) {}
  explicit PyModel(ModelHandle handle) : model_(std::move(handle)) {}
  explicit PyModel(std::shared_ptr<const HeldLease> lease) : model_(std::move(lease)) {}
  PyModel(const PyModel&) = default;
  // Gives the GIL up while the weights are freed.
  ~PyModel();

  // Calls `action` with a Model, a ModelHandle or a ModelLease, which have the same calls.
  template <typename Action>
  auto With(Action&& action) const {
    if (const auto* const model = std::get_if<std::shared_ptr<const Model>>(&model_)) {
      return action(**model);
    }
    if (const auto* const handle = std::get_if<ModelHandle>(&model_)) return action(*handle);
    return action(*std::get<std::shared_ptr<const HeldLease>>(model_)->Get());
  }
  // The same with the Model of a lease in its place: for what is no call.
  template <typename Action>
  auto WithFacts(Action&& action) const {
    if (const auto* const lease = std::get_if<std::shared_ptr<const HeldLease>>(&model_)) {
      const auto held = (*lease)->Get();
      return action(**held);
    }
    if (const auto* const handle = std::get_if<ModelHandle>(&model_)) return action(*handle);
    return action(*std::get<std::shared_ptr<const Model>>(model_));
  }
  // Of a handle; nullopt for the others.
  std::optional<EntryRef> entry() const {
    const auto* const handle = std::get_if<ModelHandle>(&model_);
    return handle == nullptr ? std::nullopt : std::optional(EntryRef(*handle));
  }

 private:
  std::variant<std::shared_ptr<const Model>, ModelHandle, std::shared_ptr<const HeldLease>> model_;
};

}  // namespace mdsa::python
