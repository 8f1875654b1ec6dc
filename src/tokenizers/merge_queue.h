// Merging of a long word with a heap: O(n log n) where scanning would take O(n^2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mdsa/tokenizer.h"
#include "tokenizers/merge_table.h"

namespace mdsa {

// Not thread-safe; made for one word.
class MergeQueue {
 public:
  // `symbols` are merged in place; at most 2^31.
  MergeQueue(const MergeTable* merges, std::span<TokenId> symbols);
  // How many symbols are left; they are moved to the front.
  std::size_t Run();

 private:
  // A merge that was possible when it was found; it may have gone stale since.
  struct Candidate {
    std::uint32_t rank;
    std::int32_t position;
    TokenId merged;
    // For a heap whose front is the lowest rank and, among equals, the leftmost.
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  // Neighbours that are still there; -1: none.
  struct Link {
    std::int32_t previous;
    std::int32_t next;
  };

  TokenId& IdAt(std::int32_t position) { return symbols_[static_cast<std::size_t>(position)]; }
  Link& LinkAt(std::int32_t position) { return links_[static_cast<std::size_t>(position)]; }
  const Merge* MergeAt(std::int32_t position);
  void Push(std::int32_t position);

  const MergeTable& merges_;
  std::span<TokenId> symbols_;  // kGone where merged into the left neighbour
  std::vector<Link> links_;
  std::vector<Candidate> heap_;
};

}  // namespace mdsa
