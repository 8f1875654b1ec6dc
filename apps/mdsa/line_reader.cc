#include "line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace mdsa::cli {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{64} << 10;

// Appends what one read gives. False at the end of the input.
Result<bool> ReadSome(int fd, std::string& buffer) {
  std::array<char, kChunkBytes> chunk;
  ssize_t got;
  while ((got = read(fd, chunk.data(), chunk.size())) < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      pollfd wait{fd, POLLIN, 0};
      poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      break;
    }
  }
  if (got < 0) return Err(ErrorCode::kIo, "standard input: {}", std::strerror(errno));
  buffer.append(chunk.data(), static_cast<std::size_t>(got));
  return got > 0;
}

Status CheckSize(const std::string& buffer) {
  if (buffer.size() <= kMaxInputBytes) return {};
  return Err(ErrorCode::kResourceExhausted,
             "standard input: a text may have at most {} bytes; give long input line by line",
             kMaxInputBytes);
}

void StripLineEnd(std::string& line) {
  if (line.ends_with('\n')) line.pop_back();
  if (line.ends_with('\r')) line.pop_back();
}

}  // namespace

Status LineReader::Fill() {
  std::array<pollfd, 2> waits = {pollfd{fd_, POLLIN, 0}, pollfd{interrupt_fd_, POLLIN, 0}};
  while (poll(waits.data(), waits.size(), -1) < 0) {
    if (errno != EINTR) return Err(ErrorCode::kIo, "standard input: {}", std::strerror(errno));
  }
  if ((waits[1].revents & POLLIN) != 0) return Err(ErrorCode::kCancelled, "cancelled");
  MDSA_ASSIGN(const bool more, ReadSome(fd_, buffer_));
  ended_ = !more;
  return {};
}

Result<std::vector<std::string>> LineReader::Next(std::size_t max_lines) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (lines.size() < max_lines) {
    const std::size_t end = buffer_.find('\n', scanned_);
    if (end != std::string::npos) {
      lines.push_back(buffer_.substr(begin, end + 1 - begin));
      StripLineEnd(lines.back());
      begin = scanned_ = end + 1;
      continue;
    }
    scanned_ = buffer_.size();
    if (!lines.empty()) break;
    if (ended_) {
      if (begin < buffer_.size()) lines.push_back(buffer_.substr(begin));
      begin = buffer_.size();
      break;
    }
    MDSA_TRY(CheckSize(buffer_));
    MDSA_TRY(Fill());
  }
  buffer_.erase(0, begin);
  scanned_ -= begin;
  return lines;
}

Result<std::string> ReadText(int fd) {
  std::string text;
  for (;;) {
    MDSA_ASSIGN(const bool more, ReadSome(fd, text));
    MDSA_TRY(CheckSize(text));
    if (!more) break;
  }
  StripLineEnd(text);
  return text;
}

}  // namespace mdsa::cli
