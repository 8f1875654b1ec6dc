// A model as Python holds it: loaded for good, or a handle of a manager.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <variant>

#include "mdsa/model.h"
#include "mdsa/model_manager.h"

namespace mdsa::python {

// Cheap to copy. Thread-safe as Model and ModelHandle are.
class PyModel {
 public:
  explicit PyModel(std::shared_ptr<const Model> model) : model_(std::move(model)) {}
  explicit PyModel(ModelHandle handle) : model_(std::move(handle)) {}
  PyModel(const PyModel&) = default;
  // Gives the GIL up while the weights are freed.
  ~PyModel();

  // Calls `action` with a Model or a ModelHandle, which have the same functions.
  template <typename Action>
  auto With(Action&& action) const {
    if (const auto* const model = std::get_if<std::shared_ptr<const Model>>(&model_)) {
      return action(**model);
    }
    return action(std::get<ModelHandle>(model_));
  }

  // For a handle as measured at the load, whether the model is in memory now or not.
  std::size_t memory_bytes() const;

 private:
  std::variant<std::shared_ptr<const Model>, ModelHandle> model_;
};

}  // namespace mdsa::python
