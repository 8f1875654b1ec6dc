// A bar on a terminal for work that takes longer than a blink.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "console.h"

namespace mdsa::cli {

// Shows nothing during the first 0.3 s and nothing at all without a terminal. Leaves an empty line
// behind. Thread-safe.
class ProgressBar {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  using Writer = std::function<void(std::string_view)>;

  static constexpr std::chrono::milliseconds kDelay = TerminalStyle{}.bar_delay;
  static constexpr std::chrono::milliseconds kInterval{50};  // between two pictures

  ProgressBar(std::string label, std::optional<TerminalStyle> style, Writer writer,
              Clock clock = &std::chrono::steady_clock::now);
  ~ProgressBar() { Clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Update(std::uint64_t done, std::uint64_t total);
  // Wipes the bar if there is one.
  void Clear();

 private:
  std::string Picture(std::uint64_t done, std::uint64_t total) const;

  const std::string label_;
  const std::optional<TerminalStyle> style_;
  const Writer writer_;
  const Clock clock_;
  std::mutex mutex_;  // guards what follows
  std::chrono::steady_clock::time_point next_;
  bool drawn_ = false;
};

}  // namespace mdsa::cli
