// Finds stop texts in streamed text, holding back what could still become one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/result.h"

namespace mdsa::engine {

// Not thread-safe; one per generation.
class StopMatcher {
 public:
  // kInvalidArgument for an empty stop text or one that starts inside a UTF-8 character.
  static Result<StopMatcher> Create(std::span<const std::string> stops);

  // Text that is final now that `piece` has arrived. Once a stop text is complete, what precedes
  // the first of them is returned and stopped() holds; later pieces give nothing.
  std::string Push(std::string_view piece);
  // The end of the text: what was held back.
  std::string Finish();
  bool stopped() const { return stopped_; }

 private:
  std::size_t HeldBack() const;

  std::vector<std::string> stops_;
  std::string pending_;
  bool stopped_ = false;
};

}  // namespace mdsa::engine
