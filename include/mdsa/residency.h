// Which models are in memory: limits, settings, and what the manager tells about its decisions.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/memory_limit.h"
#include "mdsa/model_config.h"
#include "mdsa/residency_policy.h"
#include "mdsa/result.h"

namespace mdsa {

// Limits and times of a manager. A plain value.
struct ResidencyOptions {
  std::int64_t max_models = 10;           // resident at once, at least 1
  std::optional<MemoryLimit> max_memory;  // of host memory, weights and running calls together
  // The same for other devices ("cuda:0"), where foreign objects may live.
  std::map<std::string, std::uint64_t, std::less<>> max_device_memory;
  // A model that nobody has used for this long leaves memory; nullopt: it stays.
  std::optional<std::chrono::nanoseconds> time_to_live;
  // A model stays at least this long once it is ready, so that two that want the same memory do not
  // swap at every call.
  std::chrono::nanoseconds min_residency{0};
  // How long requests for resident models may go before those that wait for memory.
  std::chrono::nanoseconds max_queue_wait = std::chrono::seconds(2);
  // The longest wait for memory, and of Unload for running calls, where a call does not say.
  std::chrono::nanoseconds wait_timeout = std::chrono::minutes(5);
  // A failed load is not repeated for this long, doubled at each further failure up to the maximum.
  std::chrono::nanoseconds retry_delay = std::chrono::milliseconds(500);
  std::chrono::nanoseconds max_retry_delay = std::chrono::minutes(1);
  // A wait older than this is reported as an event, again whenever its age has doubled.
  std::chrono::nanoseconds report_waits_after = std::chrono::seconds(10);

  // kInvalidArgument naming the field.
  Status Validate() const;
};

// What holds for one model id, loaded or not.
struct ModelSettings {
  bool pinned = false;  // never evicted, time to live included; an unload needs force
  // Instead of the manager's; kForever: it stays.
  std::optional<std::chrono::nanoseconds> time_to_live;

  static constexpr std::chrono::nanoseconds kForever = std::chrono::nanoseconds::max();
  bool operator==(const ModelSettings&) const = default;
};

enum class EvictionReason : std::uint8_t {
  kCount,          // max_models
  kBytes,          // max_memory, or what the machine has left
  kTimeToLive,     // unused for long enough
  kUnderestimate,  // another model measured more than was reserved for it
};
inline constexpr std::size_t kEvictionReasons = 4;
std::string_view EvictionReasonName(EvictionReason reason);  // "count", "bytes"...

struct ModelEvent {
  enum class Kind : std::uint8_t {
    kLoading,  // phase, bytes_done, bytes_total
    kReady,    // bytes: measured; estimated_bytes; seconds: of the load
    kEvicted,  // reason, bytes, for_model: who needed the memory
    kFailed,   // error, retry_after
    kFreed,    // bytes: given back; seconds: since nobody used it
    kWaiting,  // what: a wait is older than report_waits_after; seconds: so old
  };
  Kind kind = Kind::kLoading;
  std::string model_id;
  std::chrono::system_clock::time_point time;
  std::string phase;  // as LoadProgress
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
  std::uint64_t bytes = 0;
  std::uint64_t estimated_bytes = 0;
  std::optional<EvictionReason> reason;
  std::string for_model;
  std::optional<Error> error;
  double retry_after_seconds = 0.0;
  double seconds = 0.0;
  std::string what;
  // Right after it: what the ledger of the model's device holds and may hold (0: no limit), and how
  // many models are resident.
  std::uint64_t reserved_bytes = 0;
  std::uint64_t limit_bytes = 0;
  std::int64_t models = 0;
};
std::string_view ModelEventKindName(ModelEvent::Kind kind);  // "loading", "ready"...

// Called one event at a time, in the order of the decisions, on a thread of the library or of a
// caller, never under a lock: it may call the manager. What it throws is counted and dropped.
using ModelEventSink = std::function<void(const ModelEvent&)>;

// Counts of values by upper bound: bucket i holds those up to kBounds[i], the last one the rest.
struct Histogram {
  static constexpr std::array<double, 16> kBounds = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
                                                     0.1,   0.2,   0.5,   1.0,  2.0,  5.0,
                                                     10.0,  30.0,  60.0,  300.0};  // seconds
  std::array<std::uint64_t, kBounds.size() + 1> counts{};
  std::uint64_t count = 0;
  double sum = 0.0;

  void Add(double seconds);
};

// A consistent snapshot; taking it changes nothing, recency least of all.
struct ResidencyMetrics {
  std::uint64_t hits = 0;  // requests that found their model ready
  std::uint64_t misses = 0;
  std::uint64_t loads = 0;  // that succeeded
  std::uint64_t load_failures = 0;
  std::uint64_t loads_cancelled = 0;
  std::uint64_t retries_refused = 0;                        // requests answered with a kept error
  std::array<std::uint64_t, kEvictionReasons> evictions{};  // by EvictionReason
  std::uint64_t unloads = 0;                                // explicit ones
  std::uint64_t revived = 0;                                // drained, then wanted again
  std::uint64_t refused = 0;                                // could never fit
  std::uint64_t timeouts = 0;                               // waits that reached their deadline
  std::uint64_t long_waits = 0;                             // reported as kWaiting
  std::uint64_t sink_failures = 0;                          // event sinks that threw
  Histogram load_seconds;
  Histogram wait_seconds;  // for memory

  struct Device {
    std::string device;
    std::uint64_t reserved_bytes = 0;
    std::uint64_t peak_bytes = 0;
    std::optional<std::uint64_t> limit_bytes;
  };
  std::vector<Device> devices;

  struct Model {
    std::string model_id;
    SlotState state = SlotState::kUnloaded;
    std::int64_t leases = 0;
    bool pinned = false;
    std::uint64_t estimated_bytes = 0;  // before the load, at rest; 0: not known
    std::uint64_t measured_bytes = 0;   // after it
    std::uint64_t call_bytes = 0;       // kept free for one call
    std::uint64_t loads = 0;
    double last_load_seconds = 0.0;
    // (estimated - measured) / measured.
    std::optional<double> estimate_error() const;
  };
  std::vector<Model> models;  // by id
};

// What a load would do, had it been asked for now.
struct ResidencyExplanation {
  enum class Verdict : std::uint8_t { kResident, kFits, kEvicts, kWaits, kRefused };
  struct Victim {
    std::string model_id;
    std::uint64_t bytes = 0;
    double idle_seconds = 0.0;
    EvictionReason reason = EvictionReason::kCount;
  };
  // Who is not evicted, and why not.
  struct Kept {
    std::string model_id;
    SlotState state = SlotState::kUnloaded;
    std::uint64_t bytes = 0;
    std::string reason;  // "pinned", "in use by 2 calls", "loading"...
  };

  std::string model_id;
  Verdict verdict = Verdict::kRefused;
  std::string reason;  // one sentence
  bool approximate = false;
  // The estimate: at rest (weights, tokenizer), at the peak of the load, and of one call.
  std::uint64_t resident_bytes = 0;
  std::uint64_t peak_bytes = 0;
  std::uint64_t call_bytes = 0;
  // The budget.
  std::int64_t models = 0;
  std::int64_t max_models = 0;
  std::uint64_t reserved_bytes = 0;
  std::optional<std::uint64_t> limit_bytes;
  std::optional<std::uint64_t> machine_bytes;
  std::vector<Victim> victims;
  std::vector<Kept> kept;
};
std::string_view VerdictName(ResidencyExplanation::Verdict verdict);  // "resident", "fits"...

}  // namespace mdsa
