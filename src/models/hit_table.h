// Requests for models that are ready, answered without the manager's lock.
//
// The table is kept several times, and a thread always asks the same copy, its own while there are
// no more threads than copies: threads on different copies share no cache line that any of them
// writes, the reference count of the handle included.
// What is learned from a hit, when and how often, stays in the copy until somebody needs it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/mutex.h"
#include "mdsa/model_config.h"
#include "models/handle_body.h"

namespace mdsa {

// Thread-safe. Its locks are leaves: nothing is called while one is held. Add and Remove are
// serialized by the manager's lock, so that a removed entry does not come back.
class HitTable {
 public:
  // `clock` must outlive the table.
  explicit HitTable(Clock& clock) : clock_(clock) {}

  // Null unless the model is ready, as far as this thread's copy knows it, and was last asked for
  // with an equal config. Counts a use.
  HandleBodyPtr Find(std::string_view id, const ModelConfig& config);

  // For this thread; gives what Find will return. Counts a use.
  HandleBodyPtr Add(const HandleBodyPtr& body, const ModelConfig& config);
  void Remove(std::string_view id);

  // The same for who has the slot already: false unless it is ready. Counts a use.
  bool Use(ModelSlot& slot);
  // Counts a use of a slot by this thread that is no hit.
  void NoteUse(ModelSlot& slot);
  // Brings what is known here of the use of all slots into the slots; returns the number of hits
  // so far.
  std::uint64_t Collect();

 private:
  struct alignas(kNotSharedBytes) Hit {
    HandleBodyPtr body;
    ModelConfig config;
    std::int64_t last_use = 0;
    std::uint64_t new_uses = 0;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view id) const { return std::hash<std::string_view>()(id); }
  };
  using Hits = std::unordered_map<std::string, Hit, Hash, std::equal_to<>>;

  struct alignas(kNotSharedBytes) Copy {
    Mutex mutex;
    Hits hits MDSA_GUARDED_BY(mutex);
    std::int64_t last_stamp MDSA_GUARDED_BY(mutex) = 0;
    std::uint64_t hit_count MDSA_GUARDED_BY(mutex) = 0;
  };
  static constexpr std::size_t kCopies = 16;

  Copy& OfThisThread();
  // The clock's nanoseconds; no two of one thread are the same.
  std::int64_t Stamp(Copy& copy) MDSA_REQUIRES(copy.mutex);
  static void MoveInto(Hit& hit);

  Clock& clock_;
  std::array<Copy, kCopies> copies_;
};

}  // namespace mdsa
