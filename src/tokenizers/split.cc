#include "tokenizers/split.h"

#include <algorithm>

namespace mdsa {

void SplitCollector::Add(std::size_t begin, std::size_t end, bool is_match) {
  bool merge = false;
  switch (behavior_) {
    case SplitBehavior::kRemoved:
      if (is_match) return;
      break;
    case SplitBehavior::kIsolated:
      break;
    case SplitBehavior::kMergedWithPrevious:
      merge = is_match && !previous_match_;
      break;
    case SplitBehavior::kMergedWithNext:
      merge = !is_match && previous_match_;
      break;
    case SplitBehavior::kContiguous:
      merge = is_match == previous_match_;
      break;
  }
  if (merge && HasPieces()) {
    out_.back().end = source_.begin + end;
  } else {
    Push(begin, end);
  }
  previous_match_ = is_match;
}

void SplitCollector::Finish() {
  const auto begin = out_.begin() + static_cast<std::ptrdiff_t>(first_);
  out_.erase(std::remove_if(begin, out_.end(), [](const Piece& p) { return p.begin == p.end; }),
             out_.end());
}

}  // namespace mdsa
