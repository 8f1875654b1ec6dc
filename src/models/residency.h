// Who is in memory, who wants to be, and who has to go: the decisions of the manager without its
// threads.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "mdsa/model_config.h"
#include "mdsa/residency.h"
#include "models/memory_ledger.h"
#include "models/model_slot.h"

namespace mdsa {

struct HandleBody;

// A failed load, kept so that a broken model is not loaded at every request.
struct KeptFailure {
  Error error;
  Clock::TimePoint retry_at;
  std::chrono::nanoseconds delay;
};

// Everything about one model id but what calls touch without a lock.
struct ResidencyRecord {
  explicit ResidencyRecord(std::string id) : slot(std::make_shared<ModelSlot>(std::move(id))) {}

  const std::string& id() const { return slot->id(); }
  bool is_foreign() const { return slot->object().model == nullptr; }
  Clock::TimePoint last_use() const {
    return Clock::TimePoint(std::chrono::nanoseconds(slot->last_use()));
  }

  const std::shared_ptr<ModelSlot> slot;
  std::string device = "cpu";
  std::optional<ModelConfig> config;
  bool reloadable = true;  // not an object of the application
  std::shared_ptr<const HandleBody> body;
  std::optional<KeptFailure> failure;

  Reservation reservation;  // of the load, then of the model and the room for one call
  std::uint64_t model_bytes = 0;
  std::uint64_t allocated_bytes = 0;  // of what is reserved, what is no map of a file
  std::uint64_t call_bytes = 0;
  std::uint64_t estimated_bytes = 0;

  std::uint64_t sequence = 0;  // order of becoming ready
  Clock::TimePoint ready_since;
  std::chrono::system_clock::time_point loaded_at;
  std::uint64_t loads = 0;
  double last_load_seconds = 0.0;

  bool closing = false;           // unloaded for good once nobody uses it
  std::uint64_t drained_for = 0;  // the request that made it draining; 0: none
  Clock::TimePoint idle_since;    // of one that is unloading
};
using RecordPtr = std::shared_ptr<ResidencyRecord>;

// Not thread-safe: the manager's lock guards it, but for the leases of its slots, which come and go
// on their own. Does nothing but decide and move records through their states: it neither loads,
// frees, waits nor calls anybody.
//
// Invariants (Validate): every ledger holds the sum of the records' reservations and what calls
// were charged; a record holds a reservation exactly in the states of HoldsMemory; there are at
// most max_models of these but after that limit was lowered.
class Residency {
 public:
  using TimePoint = Clock::TimePoint;
  using Ticket = std::uint64_t;

  // `host_limit_bytes` is options.max_memory resolved.
  Residency(const ResidencyOptions& options, std::optional<std::uint64_t> host_limit_bytes,
            std::shared_ptr<const ResidencyPolicy> policy);

  const ResidencyOptions& options() const { return options_; }
  void SetMaxModels(std::int64_t max_models) { options_.max_models = max_models; }

  // --- records ---
  // nullptr if unknown or closing.
  RecordPtr Find(std::string_view id) const;
  // The id must not be known.
  RecordPtr Insert(std::string id);
  // Nobody finds it any more; a ready one drains. What is not in memory is forgotten at once.
  void Close(const RecordPtr& record);
  // All that hold memory or are known, in no particular order; closing ones included.
  std::vector<RecordPtr> All() const;
  std::int64_t resident() const;  // records that hold memory

  // --- settings ---
  const ModelSettings& settings(std::string_view id) const;
  void SetSettings(const std::string& id, const ModelSettings& settings);
  // How long the model may stay unused; nullopt: for ever.
  std::optional<std::chrono::nanoseconds> TimeToLive(std::string_view id) const;

  // --- room ---
  struct Demand {
    std::uint64_t bytes = 0;
    std::uint64_t allocated_bytes = 0;
    std::int64_t models = 1;
  };
  // Queues for room for the load of `record`. Served in the order of joining; one that fits at once
  // may overtake others for max_queue_wait.
  Ticket Join(const RecordPtr& record, const Demand& demand, TimePoint now);
  // Stops waiting. Models that were draining for it alone are ready again.
  void Leave(Ticket ticket);

  struct Victim {
    RecordPtr record;  // unloading: the caller takes the object, frees it and calls Freed
    std::optional<EvictionReason> reason;  // none for one that was closed
    std::string for_model;
  };
  struct Step {
    enum class Kind : std::uint8_t {
      kGranted,  // the record is reserved (a call may reserve now); the ticket is used up
      kFree,     // free `victims`, then try again
      kWait,     // until something changes, at most until `look_again`
      kRefused,  // for good; the ticket is used up
    };
    Kind kind = Kind::kWait;
    std::vector<Victim> victims;
    std::optional<TimePoint> look_again;
    Error error{ErrorCode::kResourceExhausted, ""};  // of kWait and kRefused: who is in the way
  };
  // `machine_bytes`: what the machine would still give; nullopt: not known.
  Step Try(Ticket ticket, TimePoint now, std::optional<std::uint64_t> machine_bytes);
  // The same for one that does not queue: an application's object that is there already; with
  // demand.models 0, a call, or the missing bytes of a model that measured more than was reserved.
  Step TryAtOnce(const RecordPtr& record, const Demand& demand, TimePoint now,
                 EvictionReason because_of_bytes,
                 std::optional<std::uint64_t> machine_bytes = std::nullopt);
  // What Try would say to a new request, with nothing changed.
  ResidencyDecision Ask(std::string_view id, std::string_view device, const Demand& demand,
                        TimePoint now, std::optional<std::uint64_t> machine_bytes,
                        std::vector<SlotSnapshot>* slots, ResidencyBudget* budget) const;

  // --- life ---
  void StartLoading(ResidencyRecord& record) { record.slot->MoveTo(SlotState::kLoading); }
  // Reserved, and not to be loaded after all.
  void CancelReserved(const RecordPtr& record);
  // The load ended without an object. `failure`: back off; nullopt: cancelled.
  void FailLoading(const RecordPtr& record, std::optional<Error> failure, TimePoint now);
  // A failure before any bytes were reserved.
  void FailUnloaded(const RecordPtr& record, Error error, TimePoint now);
  struct Measured {
    std::uint64_t model_bytes = 0;
    std::uint64_t mapped_bytes = 0;
    std::uint64_t call_bytes = 0;
  };
  // Adjusts the reservation to what was measured. 0, or how many bytes are missing: nothing was
  // changed then.
  std::uint64_t Settle(ResidencyRecord& record, const Measured& measured);
  // Loading to ready, with that many leases taken already. The record is settled.
  void PublishReady(ResidencyRecord& record, ModelSlot::Object object, std::int64_t leases,
                    TimePoint now);
  // Loading to unloading, for an object that nobody wants any more.
  void DropLoaded(ResidencyRecord& record, TimePoint now);
  // Whatever is draining and no longer used begins to unload.
  std::vector<Victim> Sweep(TimePoint now);
  // Unused for longer than they may be. `next`: when to look again; kNever if no model can expire.
  std::vector<Victim> Expire(TimePoint now, TimePoint* next);
  // Ready or draining, to be gone as by an eviction; it unloads at once if nobody uses it.
  std::vector<Victim> Evict(const RecordPtr& record, TimePoint now);
  // The memory is free.
  void Freed(const RecordPtr& record);

  // --- numbers ---
  std::shared_ptr<MemoryLedger> ledger(std::string_view device);
  const std::map<std::string, std::shared_ptr<MemoryLedger>, std::less<>>& ledgers() const {
    return ledgers_;
  }
  ResidencyMetrics& counters() { return counters_; }
  const ResidencyMetrics& counters() const { return counters_; }
  // Whether a thread frees memory right now.
  bool IsFreeing() const;
  // Whether a load, a drain or an unload is under way, whose end will change what is free.
  bool AnythingEnds() const;
  // The first broken invariant in words, or nothing. `call_bytes` of the host were charged to calls
  // beyond what models keep free for them.
  std::optional<std::string> Validate(std::uint64_t call_bytes) const;

 private:
  // Until another look at what a lease that came or went has changed.
  static constexpr auto kRaceDelay = std::chrono::milliseconds(1);

  struct Request {
    Ticket ticket;
    RecordPtr record;
    Demand demand;
    TimePoint since;
  };
  using Table = std::map<std::string, RecordPtr, std::less<>>;

  std::vector<SlotSnapshot> Snapshot(std::vector<RecordPtr>& records) const;
  ResidencyBudget Budget(std::string_view device, std::optional<std::uint64_t> machine_bytes) const;
  Step Decide(const Request& request, bool queued, TimePoint now,
              std::optional<std::uint64_t> machine_bytes, EvictionReason because_of_bytes);
  bool MayGo(ResidencyDecision::Kind kind, const ResidencyRecord& record) const;
  std::vector<Victim> EvictIdle(const std::vector<RecordPtr>& chosen, EvictionReason reason,
                                const std::string& for_model, TimePoint now);
  bool Grant(const Request& request);
  void LeaveTable(const RecordPtr& record);
  void Forget(const RecordPtr& record);
  void Revive(Ticket ticket);
  void SetFailure(ResidencyRecord& record, Error error, TimePoint now) const;

  ResidencyOptions options_;
  const std::shared_ptr<const ResidencyPolicy> policy_;
  std::map<std::string, std::shared_ptr<MemoryLedger>, std::less<>> ledgers_;
  Table table_;
  std::vector<RecordPtr> closing_;  // hold memory, found no more
  std::map<std::string, ModelSettings, std::less<>> settings_;
  std::deque<Request> queue_;
  Ticket last_ticket_ = 0;
  std::uint64_t last_sequence_ = 0;
  ResidencyMetrics counters_;
};

}  // namespace mdsa
