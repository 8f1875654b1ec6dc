#include "events.h"

#include <memory>
#include <string>
#include <utility>

#include "bindings.h"
#include "error.h"
#include "gil.h"
#include "residency.h"

namespace mdsa::python {

void EventReader::Push(const ModelEvent& event) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  if (progress_.size() + others_.size() >= capacity_) {
    Queue& shortened = progress_.empty() ? others_ : progress_;
    shortened.pop_front();
    ++dropped_;
  }
  Queue& queue = event.kind == ModelEvent::Kind::kLoading ? progress_ : others_;
  queue.push_back({++last_number_, event, 0});
  changed_.notify_one();
}

std::optional<EventReader::Entry> EventReader::Next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return closed_ || !progress_.empty() || !others_.empty(); });
  if (closed_) return std::nullopt;
  const bool progress_is_older =
      others_.empty() || (!progress_.empty() && progress_.front().number < others_.front().number);
  Queue& queue = progress_is_older ? progress_ : others_;
  Entry entry = std::move(queue.front());
  queue.pop_front();
  entry.dropped = std::exchange(dropped_, 0);
  return entry;
}

void EventReader::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  progress_.clear();
  others_.clear();
  changed_.notify_all();
}

PyEvents::PyEvents(ModelManager& manager, std::size_t capacity)
    : reader(std::make_shared<EventReader>(capacity)),
      subscription(
          manager.Subscribe([reader = reader](const ModelEvent& event) { reader->Push(event); })) {}

PyEvents::~PyEvents() {
  if (!HoldsLiveGil()) {
    Close();
    return;
  }
  const GilRelease release;
  Close();
}

void PyEvents::Close() {
  reader->Close();
  std::optional<EventSubscription> ended;
  const std::lock_guard lock(mutex);
  ended.swap(subscription);
}

void BindEvents(nb::module_& module) {
  nb::class_<PyEvents>(module, "Events")
      .def("next",
           [](PyEvents& self) -> nb::object {
             std::optional<EventReader::Entry> entry;
             {
               const GilRelease release;
               entry = self.reader->Next();
             }
             return entry ? nb::object(FromEvent(entry->event, entry->dropped)) : nb::none();
           })
      .def("close", [](PyEvents& self) {
        const GilRelease release;
        self.Close();
      });
}

}  // namespace mdsa::python
