#include "tokenizers/string_matcher.h"

namespace mdsa {

std::int32_t StringMatcher::ChildOf(std::int32_t node, unsigned char byte) const {
  std::int32_t child = nodes_[static_cast<std::size_t>(node)].child;
  while (child >= 0 && nodes_[static_cast<std::size_t>(child)].byte != byte) {
    child = nodes_[static_cast<std::size_t>(child)].sibling;
  }
  return child;
}

void StringMatcher::Build(const std::map<std::string, std::int32_t>& strings) {
  nodes_.clear();
  first_bytes_.fill(-1);
  for (const auto& [text, value] : strings) {
    if (text.empty()) continue;
    if (nodes_.empty()) nodes_.push_back({});
    std::int32_t node = 0;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      std::int32_t child = ChildOf(node, byte);
      if (child < 0) {
        child = static_cast<std::int32_t>(nodes_.size());
        nodes_.push_back({-1, -1, nodes_[static_cast<std::size_t>(node)].child, byte});
        nodes_[static_cast<std::size_t>(node)].child = child;
      }
      node = child;
    }
    nodes_[static_cast<std::size_t>(node)].value = value;
    const auto first = static_cast<unsigned char>(text[0]);
    first_bytes_[first] = ChildOf(0, first);
  }
}

std::optional<StringMatcher::Match> StringMatcher::Find(std::string_view text,
                                                        std::size_t from) const {
  if (nodes_.empty()) return std::nullopt;
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    std::int32_t node = first_bytes_[static_cast<unsigned char>(text[begin])];
    std::optional<Match> longest;
    for (std::size_t at = begin + 1; node >= 0; ++at) {
      const std::int32_t value = nodes_[static_cast<std::size_t>(node)].value;
      if (value >= 0) longest = Match{begin, at, value};
      if (at >= text.size()) break;
      node = ChildOf(node, static_cast<unsigned char>(text[at]));
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

}  // namespace mdsa
