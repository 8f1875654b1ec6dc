// Who stays in memory: a pure function from a snapshot to a decision, which an application may
// replace.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mdsa {

// The life of one model. Which state may follow which is one table (src/models/slot_state.h), and
// the diagram in docs/residency.md is made from it.
enum class SlotState : std::uint8_t {
  kUnloaded,   // takes no memory; its handles are valid
  kReserved,   // its bytes are granted, nothing is allocated yet
  kLoading,    // a thread reads, converts and quantizes
  kReady,      // answers
  kDraining,   // takes no new calls, the running ones finish; may become ready again
  kUnloading,  // nobody uses it; a thread frees it
  kFailed,     // the last load failed; the error is kept until its back-off has passed
};
inline constexpr std::size_t kSlotStates = 7;
std::string_view SlotStateName(SlotState state);  // "unloaded", "reserved"...

// Times in a snapshot are those of one monotonic clock.
using ResidencyTime = std::chrono::steady_clock::time_point;

// One model that holds memory or is about to.
struct SlotSnapshot {
  std::string_view id;
  SlotState state = SlotState::kUnloaded;
  std::string_view device = "cpu";
  std::int64_t leases = 0;  // calls that use it now
  bool pinned = false;
  std::uint64_t bytes = 0;            // in the ledger of its device
  std::uint64_t allocated_bytes = 0;  // of these, what is no map of a file
  ResidencyTime last_use;             // unique: the order of uses
  ResidencyTime ready_since;
  std::optional<std::chrono::nanoseconds> time_to_live;
};

// What a load, or a call that needs memory beside the weights, asks for.
struct ResidencyDemand {
  std::string_view id;
  std::string_view device = "cpu";
  std::uint64_t bytes = 0;            // at its peak
  std::uint64_t allocated_bytes = 0;  // of these, what is no map of a file
  std::int64_t models = 1;            // 0 for a call
  std::chrono::nanoseconds waited{0};
};

// Limits and what is taken of them, on the demand's device.
struct ResidencyBudget {
  std::int64_t max_models = 0;
  std::optional<std::uint64_t> limit_bytes;  // nullopt: none
  std::uint64_t reserved_bytes = 0;          // by all, loads in flight and running calls included
  std::uint64_t transient_bytes = 0;  // of these, what running calls hold beside their models
  // What the machine would still give, less what loads in flight were promised; nullopt: not known.
  std::optional<std::uint64_t> machine_bytes;
  std::chrono::nanoseconds min_residency{0};
  std::chrono::nanoseconds max_queue_wait{0};
};

struct ResidencyDecision {
  enum class Kind : std::uint8_t {
    kGrant,  // it fits as things are
    kEvict,  // it fits once `victims`, which nobody uses, are gone
    kDrain,  // `victims` are in use: they shall take no new calls, and go when the running ones end
    kWait,   // for a call, a load or the clock; look again at `look_again` at the latest
    kRefuse,  // it never fits, whatever ends
  };
  Kind kind = Kind::kRefuse;
  std::vector<std::size_t> victims;         // indices into the snapshot, first to go first
  std::optional<ResidencyTime> look_again;  // of kWait
  std::string reason;                       // of kDrain, kWait and kRefuse: who holds what
};

// Thread-safe, and without state: Decide is called under the manager's lock, so it neither blocks,
// nor logs, nor asks for the time. Victims that are pinned or not ready are a defect of the policy:
// the request fails with kInternal. Those of kEvict that are in use, by now, make it decide again.
class ResidencyPolicy {
 public:
  virtual ~ResidencyPolicy() = default;
  virtual ResidencyDecision Decide(std::span<const SlotSnapshot> slots,
                                   const ResidencyDemand& demand, const ResidencyBudget& budget,
                                   ResidencyTime now) const = 0;
};

// The default. Models whose time to live has passed go first, then the least recently used, as few
// as suffice: none of the victims could be spared. Never a pinned one, one in use, or one that has
// been ready for less than min_residency. When a demand has waited for max_queue_wait and only
// models in use are in its way, the least recently used of these are drained.
class LruPolicy final : public ResidencyPolicy {
 public:
  ResidencyDecision Decide(std::span<const SlotSnapshot> slots, const ResidencyDemand& demand,
                           const ResidencyBudget& budget, ResidencyTime now) const override;
};

}  // namespace mdsa
