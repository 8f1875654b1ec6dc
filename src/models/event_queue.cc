#include "models/event_queue.h"

#include <exception>
#include <utility>
#include <vector>

namespace mdsa {

EventQueue::Id EventQueue::Subscribe(ModelEventSink sink) {
  auto shared = std::make_shared<const ModelEventSink>(std::move(sink));
  const MutexLock lock(mutex_);
  sinks_.emplace(++last_id_, std::move(shared));
  sinks_count_ = sinks_.size();
  return last_id_;
}

void EventQueue::Unsubscribe(Id id) {
  std::shared_ptr<const ModelEventSink> removed;  // freed after the lock
  const MutexLock lock(mutex_);
  if (const auto found = sinks_.find(id); found != sinks_.end()) {
    removed = std::move(found->second);
    sinks_.erase(found);
    sinks_count_ = sinks_.size();
  }
  if (delivering_ && deliverer_ == std::this_thread::get_id()) return;
  delivered_.Wait(mutex_, {}, [&]() MDSA_REQUIRES(mutex_) { return calling_ != id; });
}

void EventQueue::Post(ModelEvent event) {
  if (!has_sinks()) return;
  event.time = std::chrono::system_clock::now();
  const MutexLock lock(mutex_);
  events_.push_back(std::move(event));
}

void EventQueue::Deliver() {
  if (!has_sinks()) return;
  while (true) {
    ModelEvent event;
    {
      const MutexLock lock(mutex_);
      if (delivering_ || events_.empty()) return;
      delivering_ = true;
      deliverer_ = std::this_thread::get_id();
      event = std::move(events_.front());
      events_.pop_front();
    }
    Call(event);
    const MutexLock lock(mutex_);
    delivering_ = false;
  }
}

void EventQueue::Call(const ModelEvent& event) {
  std::vector<std::pair<Id, std::shared_ptr<const ModelEventSink>>> sinks;
  {
    const MutexLock lock(mutex_);
    sinks.assign(sinks_.begin(), sinks_.end());
  }
  for (const auto& [id, sink] : sinks) {
    {
      const MutexLock lock(mutex_);
      if (!sinks_.contains(id)) continue;
      calling_ = id;
    }
    try {
      (*sink)(event);
    } catch (...) {
      ++failures_;
    }
    const MutexLock lock(mutex_);
    calling_ = 0;
    delivered_.NotifyAll();
  }
}

}  // namespace mdsa
