#include "progress_bar.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "text_format.h"

namespace mdsa::cli {
namespace {

constexpr int kMaxBarWidth = 40;
constexpr int kMinBarWidth = 5;
constexpr std::string_view kWipeLine = "\r\x1b[K";

}  // namespace

ProgressBar::ProgressBar(std::string label, std::optional<TerminalStyle> style, Writer writer,
                         Clock clock)
    : label_(OneLine(label)),
      style_(style),
      writer_(std::move(writer)),
      clock_(std::move(clock)),
      next_(clock_() + (style_ ? style_->bar_delay : kDelay)) {}

std::string ProgressBar::Picture(std::uint64_t done, std::uint64_t total) const {
  const double fraction =
      total == 0 ? 0.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const std::string numbers =
      fmt::format("{:3.0f}%  {} of {}", 100.0 * fraction, HumanBytes(done), HumanBytes(total));
  // The last column stays free: some terminals wrap when it is written.
  const int room = style_->width - 1 - static_cast<int>(label_.size() + numbers.size()) - 6;
  if (room < kMinBarWidth) return numbers.substr(0, static_cast<std::size_t>(style_->width - 1));
  const int width = std::min(room, kMaxBarWidth);
  const int filled = static_cast<int>(fraction * width);
  const std::string bar(static_cast<std::size_t>(filled), '=');
  return fmt::format("{}  [{}{}{}{:{}}]  {}", label_, style_->color ? "\x1b[36m" : "", bar,
                     style_->color ? "\x1b[0m" : "", "", width - filled, numbers);
}

void ProgressBar::Update(std::uint64_t done, std::uint64_t total) {
  if (!style_) return;
  const std::scoped_lock lock(mutex_);
  const auto now = clock_();
  if (now < next_) return;
  next_ = now + kInterval;
  drawn_ = true;
  writer_(std::string(kWipeLine) + Picture(done, total));
}

void ProgressBar::Clear() {
  const std::scoped_lock lock(mutex_);
  if (std::exchange(drawn_, false)) writer_(kWipeLine);
}

}  // namespace mdsa::cli
