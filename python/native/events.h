// Events of a manager on their way to Python.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>

#include "mdsa/model_manager.h"

namespace mdsa::python {

// A bounded queue. The manager's threads fill it and never touch Python; a Python thread takes from
// it. Of too many events, the oldest that only tell of progress go first. Thread-safe.
class EventReader {
 public:
  explicit EventReader(std::size_t capacity) : capacity_(capacity) {}

  struct Entry {
    std::uint64_t number = 0;
    ModelEvent event;
    std::uint64_t dropped = 0;  // events before this one
  };
  void Push(const ModelEvent& event);
  // Waits for the next one; nullopt once closed. Without the GIL.
  std::optional<Entry> Next();
  void Close();

 private:
  using Queue = std::deque<Entry>;

  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Queue progress_;
  Queue others_;
  std::uint64_t last_number_ = 0;
  std::uint64_t dropped_ = 0;
  bool closed_ = false;
};

// Subscribed from construction to Close.
struct PyEvents {
  PyEvents(ModelManager& manager, std::size_t capacity);
  PyEvents(const PyEvents&) = delete;
  PyEvents& operator=(const PyEvents&) = delete;
  ~PyEvents();
  // Nobody pushes after it. Without the GIL.
  void Close();

  const std::shared_ptr<EventReader> reader;
  std::mutex mutex;
  std::optional<EventSubscription> subscription;
};

}  // namespace mdsa::python
