#include "engine/stop_strings.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace mdsa::engine {

Result<StopMatcher> StopMatcher::Create(std::span<const std::string> stops) {
  StopMatcher matcher;
  for (const std::string& stop : stops) {
    if (stop.empty()) return Err(ErrorCode::kInvalidArgument, "stop: a stop text is empty");
    // A match then starts at a character, so the text before it is whole.
    if ((static_cast<unsigned char>(stop.front()) & 0xc0u) == 0x80u) {
      return Err(ErrorCode::kInvalidArgument, "stop: a stop text starts inside a UTF-8 character");
    }
    matcher.stops_.push_back(stop);
  }
  return matcher;
}

std::string StopMatcher::Push(std::string_view piece) {
  if (stopped_) return {};
  if (stops_.empty()) return std::string(piece);
  pending_ += piece;
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, pending_.find(stop));
  if (first != std::string::npos) {
    stopped_ = true;
    pending_.resize(first);
    return std::exchange(pending_, {});
  }
  const std::size_t final_bytes = pending_.size() - HeldBack();
  std::string out = pending_.substr(0, final_bytes);
  pending_.erase(0, final_bytes);
  return out;
}

std::string StopMatcher::Finish() { return std::exchange(pending_, {}); }

// Length of the longest suffix of the pending text that begins a stop text.
std::size_t StopMatcher::HeldBack() const {
  std::size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size() - 1, pending_.size()); n > longest; --n) {
      if (std::string_view(pending_).ends_with(std::string_view(stop).substr(0, n))) longest = n;
    }
  }
  return longest;
}

}  // namespace mdsa::engine
