// The progress of a load, passed on to a caller who may leave before the load ends.
#pragma once

#include "base/mutex.h"
#include "mdsa/model_loader.h"

namespace mdsa {

// Thread-safe.
class ProgressRelay {
 public:
  // `sink` must live until Disconnect; an empty one counts as disconnected.
  explicit ProgressRelay(const ProgressSink& sink) : sink_(sink ? &sink : nullptr) {}

  // Calls the sink, without a lock, unless disconnected.
  void operator()(const LoadProgress& progress) MDSA_EXCLUDES(mutex_) {
    const ProgressSink* sink = nullptr;
    {
      const MutexLock lock(mutex_);
      if (sink_ == nullptr) return;
      sink = sink_;
      ++calls_;
    }
    const CallEnd end{*this};
    (*sink)(progress);
  }

  bool connected() const MDSA_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return sink_ != nullptr;
  }

  // The sink is not called any more, and no call of it is running.
  void Disconnect() MDSA_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    sink_ = nullptr;
    no_call_.Wait(mutex_, {}, [this]() MDSA_REQUIRES(mutex_) { return calls_ == 0; });
  }

 private:
  // Ends a call, thrown out of or not.
  struct CallEnd {
    ProgressRelay& relay;
    ~CallEnd() {
      const MutexLock lock(relay.mutex_);
      --relay.calls_;
      relay.no_call_.NotifyAll();
    }
  };

  mutable Mutex mutex_;
  const ProgressSink* sink_ MDSA_GUARDED_BY(mutex_);
  int calls_ MDSA_GUARDED_BY(mutex_) = 0;
  CondVar no_call_;
};

}  // namespace mdsa
