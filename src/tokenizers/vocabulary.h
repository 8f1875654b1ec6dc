// The tokens of a model and their ids, in a few flat arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/result.h"
#include "mdsa/tokenizer.h"

namespace mdsa {

// Immutable once built; thread-safe then. Memory: the bytes of all tokens, 4 bytes per token for
// their ends and 8 to 16 for the hash table.
class Vocabulary {
 public:
  // Largest number of tokens and largest id + 1. Real vocabularies stay below 2^20.
  static constexpr std::size_t kMaxTokens = std::size_t{1} << 22;

  // Takes tokens in the order of the file. Not thread-safe.
  class Builder {
   public:
    // kInvalidFormat for a negative or huge id or too many tokens. A token that comes twice keeps
    // its last id.
    Status Add(std::string_view token, std::int64_t id);
    void Reserve(std::size_t tokens, std::size_t bytes);
    Vocabulary Build() &&;

   private:
    friend class Vocabulary;
    std::string bytes_;
    std::vector<std::uint32_t> ends_;
    std::vector<TokenId> ids_;
  };

  Vocabulary() = default;

  std::optional<TokenId> Find(std::string_view token) const;
  // The longest token that `text`, well-formed UTF-8, begins with, in whole characters; only the
  // first kMaxPrefixBytes are looked at. Time is linear in those.
  struct Prefix {
    TokenId id;
    std::size_t bytes;
  };
  static constexpr std::size_t kMaxPrefixBytes = 4096;
  std::optional<Prefix> FindLongestPrefix(std::string_view text) const;
  // Empty optional if no token has this id.
  std::optional<std::string_view> Token(TokenId id) const;
  // Number of different tokens.
  std::size_t size() const { return size_; }
  // One more than the largest id.
  std::size_t id_limit() const { return slot_of_id_.empty() ? ends_.size() : slot_of_id_.size(); }
  std::size_t memory_bytes() const;
  // The same of a vocabulary to be built: so many different tokens with ids without holes.
  static std::uint64_t BytesFor(std::uint64_t tokens, std::uint64_t token_bytes);

 private:
  // Tables of slots: a slot is the place of a token in `bytes_`, in the order of ids if possible.
  std::string_view SlotText(std::uint32_t slot) const {
    const std::uint32_t begin = slot == 0 ? 0 : ends_[slot - 1];
    return std::string_view(bytes_).substr(begin, ends_[slot] - begin);
  }
  // Position in `table_` of the token, or of the free entry where it belongs.
  std::size_t Probe(std::string_view token, std::uint64_t hash) const;
  std::optional<TokenId> FindHashed(std::string_view token, std::uint64_t hash) const;
  void BuildTable(const std::vector<std::uint32_t>& slots_in_file_order);
  void BuildIds(std::vector<TokenId> ids);

  std::string bytes_;
  std::vector<std::uint32_t> ends_;
  // Open addressing; entry = slot + 1 in the low 23 bits, hash bits above, 0: free.
  std::vector<std::uint32_t> table_;
  std::vector<TokenId> id_of_slot_;        // empty if slot == id
  std::vector<std::uint32_t> slot_of_id_;  // empty if slot == id; kNoSlot: id unused
  std::size_t size_ = 0;
  std::size_t longest_ = 0;
};

}  // namespace mdsa
