#include "console.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace mdsa::cli {
namespace {

// 0, or the errno of the write that failed.
int WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      // Somebody else made the pipe or terminal non-blocking; wait until it takes more.
      pollfd wait{fd, POLLOUT, 0};
      poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace

void KeepStandardStreamsTaken() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // The lowest free number is `fd`. Opened the wrong way round, so that using it stays an error.
    [[maybe_unused]] const int opened = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

Console::Console()
    : stdin_is_terminal_(isatty(STDIN_FILENO) == 1),
      stdout_is_terminal_(isatty(STDOUT_FILENO) == 1) {
  std::signal(SIGPIPE, SIG_IGN);
}

std::optional<TerminalStyle> Console::stderr_style() const {
  const char* term = std::getenv("TERM");
  if (isatty(STDERR_FILENO) != 1 || term == nullptr || std::strcmp(term, "dumb") == 0) {
    return std::nullopt;
  }
  TerminalStyle style;
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) style.width = size.ws_col;
  const char* no_color = std::getenv("NO_COLOR");
  style.color = no_color == nullptr || *no_color == '\0';
  if (const char* delay = std::getenv("MDSA_PROGRESS_DELAY_MS"); delay != nullptr) {
    int milliseconds = 0;
    const char* end = delay + std::strlen(delay);
    const auto [stop, error] = std::from_chars(delay, end, milliseconds);
    if (error == std::errc() && stop == end && milliseconds >= 0) {
      style.bar_delay = std::chrono::milliseconds(milliseconds);
    }
  }
  return style;
}

bool Console::Write(std::string_view text) {
  if (reader_gone_ || write_errno_ != 0) return false;
  const int error = WriteAll(STDOUT_FILENO, text);
  if (error == EPIPE) {
    reader_gone_ = true;
  } else {
    write_errno_ = error;
  }
  return error == 0;
}

Status Console::output_status() const {
  if (write_errno_ == 0) return {};
  return Err(ErrorCode::kIo, "standard output: {}", std::strerror(write_errno_));
}

void Console::Diagnose(std::string_view text) const { WriteAll(STDERR_FILENO, text); }

}  // namespace mdsa::cli
