// Byte pair encoding (Sennrich et al. 2016) with the variants of the Hugging Face package.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mdsa/result.h"
#include "tokenizers/merge_table.h"
#include "tokenizers/model.h"

namespace mdsa {

struct BpeOptions {
  std::optional<std::string> unk_token = std::nullopt;
  std::string continuing_prefix = {};   // before every character but the first
  std::string end_of_word_suffix = {};  // after the last character
  bool fuse_unk = false;                // neighbouring unknown characters are one token
  bool byte_fallback = false;  // an unknown character becomes its <0xXX> tokens, if all exist
  bool ignore_merges = false;  // a word of the vocabulary is one token whatever the merges say
};

// A word becomes its characters; then the neighbours with the lowest rank merge, leftmost first,
// until none can. Time O(n log n) in the length of the word.
//
// A word that is itself a token usually merges into just that token. Whether it does is found out
// once per token and remembered, which makes common words one look-up without a cache that grows.
// Logically immutable; thread-safe.
class BpeModel final : public TokenModel {
 public:
  using MergeText = std::pair<std::string_view, std::string_view>;

  // `merges` in the order of their ranks. kInvalidFormat, with the number of the merge, if one
  // names or makes a token that is not in the vocabulary.
  static Result<std::unique_ptr<BpeModel>> Create(Vocabulary vocabulary,
                                                  const std::vector<MergeText>& merges,
                                                  const BpeOptions& options);

  void Tokenize(std::string_view word, std::vector<TokenId>* ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::size_t memory_bytes() const override;

 private:
  // What is known of a token as a word of its own.
  enum WholeWord : std::uint8_t { kUnknown, kMergesToItself, kMergesOtherwise };

  BpeModel(Vocabulary vocabulary, const BpeOptions& options, std::size_t merges);

  Status AddMerges(const std::vector<MergeText>& merges);
  void FindShortTokens();

  // The first symbols of a word: its characters, or what stands for unknown ones.
  void AppendSymbols(std::string_view word, std::vector<TokenId>* symbols) const;
  // The token of one character, with prefix and suffix where they apply.
  std::optional<TokenId> FindChar(std::string_view c, bool first, bool last,
                                  std::string* scratch) const;
  bool AppendByteTokens(std::string_view c, std::vector<TokenId>* symbols) const;
  // Merges the symbols from `begin` on, in place.
  void MergeShort(std::vector<TokenId>* symbols, std::size_t begin) const;
  void MergeLong(std::vector<TokenId>* symbols, std::size_t begin) const;

  Vocabulary vocabulary_;
  BpeOptions options_;
  MergeTable merges_;
  std::optional<TokenId> unk_;
  std::vector<TokenId> char_tokens_;                         // of characters below 0x180; or -1
  std::array<TokenId, 256> byte_tokens_;                     // <0x00>..<0xFF>; or -1
  std::unique_ptr<std::atomic<std::uint8_t>[]> whole_word_;  // WholeWord by id
};

}  // namespace mdsa
