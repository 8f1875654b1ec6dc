// The merges of a BPE model: which two neighbouring tokens become which token, and how early.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/heap_bytes.h"
#include "mdsa/tokenizer.h"

namespace mdsa {

struct Merge {
  std::uint32_t rank;  // lower goes first
  TokenId merged;
};

// Open addressing with 16 bytes per entry. Thread-compatible; immutable use is thread-safe.
class MergeTable {
 public:
  explicit MergeTable(std::size_t merges = 0);

  // The last merge of a pair counts. At most as many different pairs as announced.
  void Add(TokenId left, TokenId right, Merge merge);
  // Null if the pair is not merged.
  const Merge* Find(TokenId left, TokenId right) const {
    for (std::size_t i = Hash(left, right) & mask_;; i = (i + 1) & mask_) {
      const Entry& entry = entries_[i];
      if (entry.left == left && entry.right == right) return &entry.merge;
      if (entry.left < 0) return nullptr;
    }
  }
  std::size_t memory_bytes() const { return HeapBytes(entries_); }
  // The same of a table to be made for so many merges.
  static std::uint64_t BytesFor(std::uint64_t merges);

 private:
  struct Entry {
    TokenId left = -1;
    TokenId right = -1;
    Merge merge{};
  };
  static_assert(sizeof(Entry) == 16);

  static std::size_t SizeFor(std::size_t merges);
  static std::size_t Hash(TokenId left, TokenId right);

  std::vector<Entry> entries_;
  std::size_t mask_;
};

}  // namespace mdsa
