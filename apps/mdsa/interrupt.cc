#include "interrupt.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>

#include "exit_code.h"

namespace mdsa::cli {
namespace {

// Sent to the watcher alone, to end it.
constexpr int kWakeSignal = SIGUSR1;

bool IsIgnored(int signal) {
  struct sigaction action{};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

// A signal that the parent made this process ignore (nohup, a background job) stays ignored.
sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (!IsIgnored(signal)) sigaddset(&set, signal);
  }
  sigaddset(&set, kWakeSignal);
  return set;
}

}  // namespace

Interrupt::Interrupt() {
  if (pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) != 0) pipe_[0] = pipe_[1] = -1;
  const sigset_t set = StopSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  watcher_ = std::thread([this] { Watch(); });
}

Interrupt::~Interrupt() {
  done_ = true;
  pthread_kill(watcher_.native_handle(), kWakeSignal);
  watcher_.join();
  for (int fd : pipe_) {
    if (fd >= 0) close(fd);
  }
}

void Interrupt::Watch() {
  const sigset_t set = StopSignals();
  for (;;) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0 || done_) return;
    if (signal == kWakeSignal) continue;
    if (!source_.request_stop()) _exit(kExitCancelled);
    // A full pipe is readable already.
    [[maybe_unused]] const ssize_t written = write(pipe_[1], "x", 1);
  }
}

}  // namespace mdsa::cli
