// Ctrl-C as a stop token.
#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

namespace mdsa::cli {

// While this lives, SIGINT, SIGTERM and SIGHUP request a stop instead of ending the process; a
// second one ends it at once with exit code 130. Made before other threads start, for they inherit
// the signal mask; one a process. Thread-safe.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  std::stop_token token() const { return source_.get_token(); }
  bool requested() const { return source_.stop_requested(); }
  // Becomes readable with the request, for poll().
  int fd() const { return pipe_[0]; }

 private:
  void Watch();

  std::stop_source source_;
  int pipe_[2] = {-1, -1};
  std::atomic<bool> done_{false};
  std::thread watcher_;
};

}  // namespace mdsa::cli
