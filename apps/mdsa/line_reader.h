// Lines of standard input, handed on as they come.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mdsa/result.h"

namespace mdsa::cli {

inline constexpr std::size_t kMaxInputBytes = std::size_t{64} << 20;  // of one text

// Not thread-safe.
class LineReader {
 public:
  // Reads `fd`; `interrupt_fd` (or -1) becomes readable when reading is to end.
  LineReader(int fd, int interrupt_fd) : fd_(fd), interrupt_fd_(interrupt_fd) {}

  // Waits for one line, then takes what else is complete already, up to `max_lines` (>= 1). Without
  // line ends ("\n" or "\r\n"); a last line needs none. Empty at the end of the input. kCancelled,
  // kIo, or kResourceExhausted for a line longer than kMaxInputBytes.
  Result<std::vector<std::string>> Next(std::size_t max_lines);

 private:
  Status Fill();

  int fd_;
  int interrupt_fd_;
  bool ended_ = false;
  std::string buffer_;       // read, not yet handed on
  std::size_t scanned_ = 0;  // bytes of buffer_ known to hold no line feed
};

// The whole of `fd`, without one line end at its end. kResourceExhausted above kMaxInputBytes.
Result<std::string> ReadText(int fd);

}  // namespace mdsa::cli
