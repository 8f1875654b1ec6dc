// What a ModelHandle points to.
#pragma once

#include <cstdint>
#include <memory>

#include "mdsa/model.h"
#include "mdsa/tokenizer.h"
#include "models/model_slot.h"

namespace mdsa {

class ManagerState;

// What the manager wants to know about a loaded model.
struct ModelFacts {
  std::uint64_t memory_bytes = 0;  // of the model object, mapped weights included
  std::uint64_t mapped_bytes = 0;  // of these, the map of the checkpoint
  std::uint64_t call_bytes = 0;    // what a call takes beside it
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ModelDescription> description;
};

// Immutable. Many copies of one may exist, so that threads do not share a reference count.
struct HandleBody {
  std::shared_ptr<ModelSlot> slot;
  std::weak_ptr<ManagerState> manager;
  ModelFacts facts;
};
using HandleBodyPtr = std::shared_ptr<const HandleBody>;

}  // namespace mdsa
