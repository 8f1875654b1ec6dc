// The three standard streams and what is behind them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "mdsa/result.h"

namespace mdsa::cli {

// Takes the numbers of standard streams that the parent closed, before another file can get them.
// To be called first.
void KeepStandardStreamsTaken();

// How a terminal wants to be drawn on.
struct TerminalStyle {
  int width = 80;  // columns
  bool color = true;
  std::chrono::milliseconds bar_delay{300};  // how long work takes before a bar shows
};

// Not thread-safe, but for Diagnose. Ignores SIGPIPE from construction on: a reader that went away
// shows in reader_gone().
class Console {
 public:
  Console();

  bool stdin_is_terminal() const { return stdin_is_terminal_; }
  bool stdout_is_terminal() const { return stdout_is_terminal_; }
  // nullopt when stderr is no terminal, or one that cannot move its cursor (TERM=dumb).
  std::optional<TerminalStyle> stderr_style() const;

  // Writes to stdout at once, so that a stream is seen as it comes. False once a write has failed;
  // a command then ends its work, and main reports.
  bool Write(std::string_view text);
  // The reader of stdout closed its end: the command succeeded as far as anybody wanted it.
  bool reader_gone() const { return reader_gone_; }
  // The other failures of Write, e.g. a full disk.
  Status output_status() const;

  // To stderr; a failure is of no consequence. Thread-safe.
  void Diagnose(std::string_view text) const;

 private:
  bool stdin_is_terminal_;
  bool stdout_is_terminal_;
  bool reader_gone_ = false;
  int write_errno_ = 0;
};

}  // namespace mdsa::cli
