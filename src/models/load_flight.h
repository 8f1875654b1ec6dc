// One load, and everybody who waits for it.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "base/clock.h"
#include "mdsa/model_config.h"
#include "mdsa/model_loader.h"
#include "mdsa/result.h"
#include "models/progress_relay.h"
#include "models/residency.h"

namespace mdsa {

// What changes is guarded by the manager's lock, but for what says otherwise.
struct LoadFlight {
  using Threads = std::list<std::jthread>;

  LoadFlight(RecordPtr its_record, const ModelConfig& its_config, const LoadOptions& options,
             Clock::TimePoint now)
      : record(std::move(its_record)),
        config(its_config),
        threads(options.threads),
        started(now),
        progress(options.on_progress),
        out_of_memory(ErrorCode::kResourceExhausted,
                      "out of memory while loading '" + record->id() + "'") {}

  const RecordPtr record;
  const ModelConfig config;
  const int threads;  // of the loader
  const Clock::TimePoint started;
  ProgressRelay progress;  // to the caller that started it, as long as it waits; thread-safe
  std::stop_source stop;   // thread-safe
  Error out_of_memory;     // made while there was memory

  Residency::Ticket ticket = 0;  // while it queues for room
  bool holds_record = false;     // its reservation, and so its state, are this flight's
  int waiting = 0;               // callers that still want the result
  int leases_wanted = 0;         // of these, with a lease: taken for them when the model is ready
  std::optional<Error> blocked;  // while there is no room: who is in the way
  // Set once: by the end of the load, or before that by an unload or by the last one leaving.
  std::optional<Result<HandleBodyPtr>> result;
  Threads::iterator thread;
};

}  // namespace mdsa
