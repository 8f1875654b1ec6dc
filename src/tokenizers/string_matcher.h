// Finds many strings in a text at once: leftmost, and of those that begin together the longest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/heap_bytes.h"

namespace mdsa {

// A trie over bytes. Time per position of the text is the length of the longest string that
// begins there. Immutable after Build; thread-safe then.
class StringMatcher {
 public:
  struct Match {
    std::size_t begin;
    std::size_t end;
    std::int32_t value;
  };

  // Empty strings are ignored; of equal ones the first counts.
  void Build(const std::map<std::string, std::int32_t>& strings);
  bool empty() const { return nodes_.empty(); }
  // The first match that begins at `from` or later.
  std::optional<Match> Find(std::string_view text, std::size_t from) const;
  std::size_t memory_bytes() const { return HeapBytes(nodes_); }

 private:
  struct Node {
    std::int32_t value = -1;    // of the string that ends here
    std::int32_t child = -1;    // first child
    std::int32_t sibling = -1;  // next child of the same parent
    unsigned char byte = 0;
  };

  std::int32_t ChildOf(std::int32_t node, unsigned char byte) const;

  std::vector<Node> nodes_;                    // empty: nothing to find
  std::array<std::int32_t, 256> first_bytes_;  // child of the root by byte; -1: none
};

}  // namespace mdsa
