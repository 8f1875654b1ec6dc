// Metrics and dry runs: what the manager knows and what it would do. Nothing here changes anything.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "models/config_conflict.h"
#include "models/manager_state.h"

namespace mdsa {
namespace {

using Kind = ResidencyDecision::Kind;
using Verdict = ResidencyExplanation::Verdict;

std::string WhyKept(const SlotSnapshot& slot, Kind kind, const ResidencyBudget& budget,
                    ResidencyTime now) {
  if (slot.pinned) return "pinned";
  if (slot.state != SlotState::kReady) return std::string(SlotStateName(slot.state));
  if (slot.leases > 0) {
    return fmt::format("in use by {} call{}", slot.leases, slot.leases == 1 ? "" : "s");
  }
  if (now - slot.ready_since < budget.min_residency) return "ready too short a time";
  return kind == Kind::kEvict ? "recently used, or not in the way" : "idle";
}

Verdict VerdictOf(Kind kind) {
  switch (kind) {
    case Kind::kGrant:
      return Verdict::kFits;
    case Kind::kEvict:
      return Verdict::kEvicts;
    case Kind::kDrain:
    case Kind::kWait:
      return Verdict::kWaits;
    case Kind::kRefuse:
      return Verdict::kRefused;
  }
  return Verdict::kRefused;
}

std::string SentenceOf(const ResidencyExplanation& explanation, std::string reason) {
  switch (explanation.verdict) {
    case Verdict::kResident:
      return "it is in memory";
    case Verdict::kFits:
      return "it fits; nobody has to go";
    case Verdict::kEvicts:
      return fmt::format("it fits once {} model{} gone", explanation.victims.size(),
                         explanation.victims.size() == 1 ? " is" : "s are");
    case Verdict::kWaits:
    case Verdict::kRefused:
      break;
  }
  return reason;
}

}  // namespace

ResidencyMetrics ManagerState::Metrics() {
  const MutexLock lock(mutex_);
  const std::uint64_t hits = hits_.Collect();
  ResidencyMetrics metrics = residency_.counters();
  metrics.hits += hits;
  metrics.sink_failures = events_.failures();
  for (const auto& [device, ledger] : residency_.ledgers()) {
    metrics.devices.push_back(
        {device, ledger->reserved_bytes(), ledger->peak_bytes(), ledger->limit_bytes()});
  }
  for (const RecordPtr& record : residency_.All()) {
    ResidencyMetrics::Model model;
    model.model_id = record->id();
    model.state = record->slot->state();
    model.leases = record->slot->leases();
    model.pinned = residency_.settings(record->id()).pinned;
    model.estimated_bytes = record->estimated_bytes;
    model.measured_bytes = record->model_bytes;
    model.call_bytes = record->call_bytes;
    model.loads = record->loads;
    model.last_load_seconds = record->last_load_seconds;
    metrics.models.push_back(std::move(model));
  }
  std::ranges::sort(metrics.models, {}, &ResidencyMetrics::Model::model_id);
  return metrics;
}

Result<ResidencyExplanation> ManagerState::Explain(const std::string& model_id,
                                                   const ModelConfig* config) {
  if (model_id.empty()) return Err(ErrorCode::kInvalidArgument, "model_id must not be empty");
  ModelConfig chosen;
  ResidencyExplanation explanation;
  explanation.model_id = model_id;
  {
    const MutexLock lock(mutex_);
    const RecordPtr record = residency_.Find(model_id);
    MDSA_ASSIGN(const ModelConfig* found, ConfigFor({model_id, config}, record.get()));
    chosen = *found;
    if (record != nullptr && record->slot->state() == SlotState::kReady) {
      if (config != nullptr && record->config) {
        MDSA_TRY(CheckSameModel(model_id, *record->config, *config));
      }
      explanation.verdict = Verdict::kResident;
      if (record->is_foreign()) {
        explanation.reason = SentenceOf(explanation, {});
        return explanation;
      }
    }
  }
  if (source_.needs == nullptr) {
    return Err(ErrorCode::kFailedPrecondition, "this registry has no loader");
  }
  MDSA_TRY(chosen.Validate());
  MDSA_ASSIGN(const ModelNeeds needs, source_.needs(chosen, 0));
  const auto machine = source_.machine_bytes ? source_.machine_bytes() : std::nullopt;

  const MutexLock lock(mutex_);
  static_cast<void>(hits_.Collect());
  explanation.approximate = needs.approximate;
  explanation.resident_bytes = needs.resident_bytes;
  explanation.call_bytes = needs.call_bytes;
  explanation.peak_bytes = std::max(needs.peak_bytes, needs.resident_bytes + needs.call_bytes);
  std::vector<SlotSnapshot> slots;
  ResidencyBudget budget;
  const auto now = clock_.Now();
  ResidencyDecision decision =
      residency_.Ask(model_id, needs.device, {explanation.peak_bytes, needs.allocated_bytes, 1},
                     now, machine, &slots, &budget);
  explanation.models = std::ssize(slots);
  explanation.max_models = budget.max_models;
  explanation.reserved_bytes = budget.reserved_bytes;
  explanation.limit_bytes = budget.limit_bytes;
  explanation.machine_bytes = budget.machine_bytes;
  if (explanation.verdict == Verdict::kResident) {
    explanation.reason = SentenceOf(explanation, {});
    return explanation;
  }
  explanation.verdict = VerdictOf(decision.kind);
  const bool over_count = std::ssize(slots) + 1 > budget.max_models;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const SlotSnapshot& slot = slots[i];
    if (decision.kind == Kind::kEvict && std::ranges::count(decision.victims, i) > 0) {
      explanation.victims.push_back({std::string(slot.id), slot.bytes, Seconds(now - slot.last_use),
                                     over_count ? EvictionReason::kCount : EvictionReason::kBytes});
    } else {
      explanation.kept.push_back({std::string(slot.id), slot.state, slot.bytes,
                                  WhyKept(slot, decision.kind, budget, now)});
    }
  }
  explanation.reason = SentenceOf(explanation, std::move(decision.reason));
  return explanation;
}

}  // namespace mdsa
