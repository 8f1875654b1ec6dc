// What a ModelHandle points to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "mdsa/model.h"
#include "mdsa/tokenizer.h"
#include "models/model_slot.h"

namespace mdsa {

// Two cache lines, for processors fetch them in pairs.
inline constexpr std::size_t kNotSharedBytes = 128;

class ManagerState;

// What the manager wants to know about a loaded model.
struct ModelFacts {
  std::uint64_t memory_bytes = 0;  // of the model object, mapped weights included
  std::uint64_t mapped_bytes = 0;  // of these, the map of the checkpoint
  std::uint64_t call_bytes = 0;    // what a call takes beside it
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ModelDescription> description;
};

// Immutable. Many copies of one may exist, so that threads do not share a reference count; nor does
// it share its cache line with another's, wherever the heap puts them.
struct alignas(kNotSharedBytes) HandleBody {
  std::shared_ptr<ModelSlot> slot;
  std::weak_ptr<ManagerState> manager;
  ModelFacts facts;
};
using HandleBodyPtr = std::shared_ptr<const HandleBody>;

}  // namespace mdsa
