// Events of the manager on their way to those who subscribed.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <thread>

#include "base/mutex.h"
#include "mdsa/residency.h"

namespace mdsa {

// Thread-safe. Post may be called under the manager's lock (lock order: manager, then this);
// Deliver must not, for it calls the sinks.
class EventQueue {
 public:
  using Id = std::uint64_t;

  Id Subscribe(ModelEventSink sink) MDSA_EXCLUDES(mutex_);
  // When this returns the sink is not called any more, unless it is the sink that calls this.
  void Unsubscribe(Id id) MDSA_EXCLUDES(mutex_);
  bool has_sinks() const { return sinks_count_.load() > 0; }

  // Dropped if nobody listens.
  void Post(ModelEvent event) MDSA_EXCLUDES(mutex_);
  // Calls the sinks until nothing is left. If another thread does that already, it takes over what
  // was posted here.
  void Deliver() MDSA_EXCLUDES(mutex_);
  // Sinks that threw.
  std::uint64_t failures() const { return failures_.load(); }

 private:
  void Call(const ModelEvent& event) MDSA_EXCLUDES(mutex_);

  mutable Mutex mutex_;
  CondVar delivered_;
  std::map<Id, std::shared_ptr<const ModelEventSink>> sinks_ MDSA_GUARDED_BY(mutex_);
  std::deque<ModelEvent> events_ MDSA_GUARDED_BY(mutex_);
  Id last_id_ MDSA_GUARDED_BY(mutex_) = 0;
  bool delivering_ MDSA_GUARDED_BY(mutex_) = false;
  std::thread::id deliverer_ MDSA_GUARDED_BY(mutex_);
  Id calling_ MDSA_GUARDED_BY(mutex_) = 0;
  std::atomic<std::size_t> sinks_count_ = 0;
  std::atomic<std::uint64_t> failures_ = 0;
};

}  // namespace mdsa
