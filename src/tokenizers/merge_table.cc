#include "tokenizers/merge_table.h"

#include <algorithm>
#include <bit>

#include "tokenizers/hash.h"

namespace mdsa {

std::size_t MergeTable::SizeFor(std::size_t merges) {
  return std::bit_ceil(std::max<std::size_t>(2, merges * 4 / 3 + 1));
}

MergeTable::MergeTable(std::size_t merges)
    : entries_(SizeFor(merges)), mask_(entries_.size() - 1) {}

std::uint64_t MergeTable::BytesFor(std::uint64_t merges) {
  // Far beyond any real model, and far from a wrap.
  constexpr std::uint64_t kMost = std::uint64_t{1} << 40;
  return HeapBlockBytes(SizeFor(std::min(merges, kMost)) * sizeof(Entry));
}

std::size_t MergeTable::Hash(TokenId left, TokenId right) {
  const auto pair = (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
                    static_cast<std::uint32_t>(right);
  return static_cast<std::size_t>(HashMix(pair ^ ProcessHashKey(), 0x9e3779b97f4a7c15u));
}

void MergeTable::Add(TokenId left, TokenId right, Merge merge) {
  for (std::size_t i = Hash(left, right) & mask_;; i = (i + 1) & mask_) {
    Entry& entry = entries_[i];
    if (entry.left >= 0 && (entry.left != left || entry.right != right)) continue;
    entry = {left, right, merge};
    return;
  }
}

}  // namespace mdsa
