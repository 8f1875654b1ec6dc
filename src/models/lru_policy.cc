#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "mdsa/residency_policy.h"

namespace mdsa {
namespace {

using std::chrono::nanoseconds;
using Kind = ResidencyDecision::Kind;

// What goes away, added up.
struct Freed {
  std::int64_t models = 0;
  std::uint64_t bytes = 0;
  std::uint64_t allocated_bytes = 0;
};

// One question, with everything it depends on at hand.
class Question {
 public:
  Question(std::span<const SlotSnapshot> slots, const ResidencyDemand& demand,
           const ResidencyBudget& budget, ResidencyTime now)
      : slots_(slots), demand_(demand), budget_(budget), now_(now) {}

  ResidencyDecision Answer() const {
    if (Fits({})) return {Kind::kGrant, {}, {}, {}};
    Freed at_most = SumOf([&](const SlotSnapshot& slot) { return MayEverGo(slot); });
    at_most.bytes += budget_.transient_bytes;
    if (!Fits(at_most)) {
      return {Kind::kRefuse, {}, {}, Shortage("cannot fit", PinnedSlots())};
    }
    const Freed coming = SumOf(IsLeaving);
    if (Fits(coming)) return Wait();
    if (auto victims = Choose(coming, [&](const SlotSnapshot& s) { return IsIdle(s); })) {
      return {Kind::kEvict, *std::move(victims), {}, {}};
    }
    if (demand_.models > 0 && demand_.waited >= budget_.max_queue_wait) {
      const auto may_drain = [&](const SlotSnapshot& s) { return IsEvictable(s) && MayEverGo(s); };
      if (auto victims = Choose(coming, may_drain)) {
        return {Kind::kDrain, *std::move(victims), {}, Shortage("waits", slots_)};
      }
    }
    return Wait();
  }

 private:
  using Filter = std::function<bool(const SlotSnapshot&)>;

  bool SharesMemory(const SlotSnapshot& slot) const { return slot.device == demand_.device; }

  Freed& Add(Freed& freed, const SlotSnapshot& slot) const {
    ++freed.models;
    if (SharesMemory(slot)) {
      freed.bytes += slot.bytes;
      freed.allocated_bytes += slot.allocated_bytes;
    }
    return freed;
  }

  Freed SumOf(const Filter& filter) const {
    Freed freed;
    for (const SlotSnapshot& slot : slots_) {
      if (filter(slot)) Add(freed, slot);
    }
    return freed;
  }

  bool CountFits(const Freed& freed) const {
    return std::ssize(slots_) - freed.models + demand_.models <= budget_.max_models ||
           demand_.models == 0;
  }
  bool BytesFit(const Freed& freed) const {
    if (!budget_.limit_bytes) return true;
    const std::uint64_t reserved =
        budget_.reserved_bytes - std::min(freed.bytes, budget_.reserved_bytes);
    return demand_.bytes <= *budget_.limit_bytes &&
           reserved <= *budget_.limit_bytes - demand_.bytes;
  }
  bool MachineFits(const Freed& freed) const {
    return !budget_.machine_bytes || demand_.allocated_bytes <= freed.allocated_bytes ||
           demand_.allocated_bytes - freed.allocated_bytes <= *budget_.machine_bytes;
  }
  bool Fits(const Freed& freed) const {
    return CountFits(freed) && BytesFit(freed) && MachineFits(freed);
  }

  // A call cannot have its own model go away.
  bool MayEverGo(const SlotSnapshot& slot) const {
    return (!slot.pinned || IsLeaving(slot)) && (demand_.models > 0 || slot.id != demand_.id);
  }
  static bool IsLeaving(const SlotSnapshot& slot) {
    return slot.state == SlotState::kDraining || slot.state == SlotState::kUnloading;
  }
  bool IsEvictable(const SlotSnapshot& slot) const {
    return slot.state == SlotState::kReady && !slot.pinned &&
           now_ - slot.ready_since >= budget_.min_residency;
  }
  bool IsIdle(const SlotSnapshot& slot) const { return IsEvictable(slot) && slot.leases == 0; }
  bool IsExpired(const SlotSnapshot& slot) const {
    return slot.time_to_live && now_ - slot.last_use >= *slot.time_to_live;
  }

  // The first of those that may go, by rank, until it fits; then without those that turned out to
  // be unnecessary. nullopt if all together do not suffice.
  std::optional<std::vector<std::size_t>> Choose(Freed freed, const Filter& may_go) const {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (may_go(slots_[i])) order.push_back(i);
    }
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
      return std::tuple(!IsExpired(slots_[a]), slots_[a].leases > 0, slots_[a].last_use) <
             std::tuple(!IsExpired(slots_[b]), slots_[b].leases > 0, slots_[b].last_use);
    });
    std::vector<std::size_t> victims;
    for (const std::size_t i : order) {
      if (Fits(freed)) break;
      Add(freed, slots_[i]);
      victims.push_back(i);
    }
    if (!Fits(freed)) return std::nullopt;
    Spare(freed, victims);
    return victims;
  }

  // Most recently used first, so that the older ones go.
  void Spare(Freed freed, std::vector<std::size_t>& victims) const {
    for (std::size_t i = victims.size(); i-- > 0;) {
      const SlotSnapshot& slot = slots_[victims[i]];
      Freed without = freed;
      --without.models;
      if (SharesMemory(slot)) {
        without.bytes -= slot.bytes;
        without.allocated_bytes -= slot.allocated_bytes;
      }
      if (!Fits(without)) continue;
      freed = without;
      victims.erase(victims.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  ResidencyDecision Wait() const {
    ResidencyDecision decision{Kind::kWait, {}, {}, Shortage("waits", slots_)};
    const auto look_at = [&](nanoseconds in) {
      const ResidencyTime then = now_ + in;
      if (!decision.look_again || then < *decision.look_again) decision.look_again = then;
    };
    if (demand_.models > 0 && demand_.waited < budget_.max_queue_wait)
      look_at(budget_.max_queue_wait - demand_.waited);
    for (const SlotSnapshot& slot : slots_) {
      const nanoseconds age = now_ - slot.ready_since;
      if (slot.state == SlotState::kReady && age < budget_.min_residency) {
        look_at(budget_.min_residency - age);
      }
    }
    return decision;
  }

  std::vector<SlotSnapshot> PinnedSlots() const {
    std::vector<SlotSnapshot> pinned;
    std::ranges::copy_if(slots_, std::back_inserter(pinned), &SlotSnapshot::pinned);
    return pinned;
  }

  static double Mb(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

  std::string Kept(const SlotSnapshot& slot) const {
    std::string why(SlotStateName(slot.state));
    if (slot.leases > 0) {
      why = fmt::format("in use by {} call{}", slot.leases, slot.leases == 1 ? "" : "s");
    } else if (slot.state == SlotState::kReady && !slot.pinned) {
      why = IsEvictable(slot) ? "idle" : "ready too short a time";
    }
    if (slot.pinned) why = slot.leases > 0 ? "pinned, " + why : "pinned";
    return fmt::format("'{}' ({:.0f} MB, {})", slot.id, Mb(slot.bytes), why);
  }

  // What is short, and who has it.
  std::string Shortage(std::string_view verb, std::span<const SlotSnapshot> holders) const {
    std::string text;
    if (!BytesFit({})) {
      text = fmt::format(
          "Insufficient memory: '{}' {}: it needs {:.0f} MB, {:.0f} of {:.0f} MB are taken",
          demand_.id, verb, Mb(demand_.bytes), Mb(budget_.reserved_bytes),
          Mb(*budget_.limit_bytes));
    } else if (!MachineFits({})) {
      text = fmt::format(
          "Insufficient memory: '{}' {}: it needs about {:.0f} MB, {:.0f} MB are available",
          demand_.id, verb, Mb(demand_.allocated_bytes), Mb(*budget_.machine_bytes));
    } else {
      text = fmt::format("'{}' {}: {} of {} models are resident", demand_.id, verb, slots_.size(),
                         budget_.max_models);
    }
    for (std::size_t i = 0; i < holders.size(); ++i) {
      text += (i == 0 ? ": " : ", ") + Kept(holders[i]);
    }
    if (verb == "cannot fit") {
      text +=
          "; unload or unpin models, raise the limit or choose a smaller quantization (int4 is the "
          "smallest)";
    }
    return text;
  }

  std::span<const SlotSnapshot> slots_;
  const ResidencyDemand& demand_;
  const ResidencyBudget& budget_;
  const ResidencyTime now_;
};

}  // namespace

ResidencyDecision LruPolicy::Decide(std::span<const SlotSnapshot> slots,
                                    const ResidencyDemand& demand, const ResidencyBudget& budget,
                                    ResidencyTime now) const {
  return Question(slots, demand, budget, now).Answer();
}

}  // namespace mdsa
