// Post-processors: the special tokens around one text or a pair, and the segment of each token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mdsa/result.h"
#include "mdsa/tokenizer.h"

namespace mdsa {

// One step of a template: a text, or special tokens.
struct TemplatePiece {
  enum Kind : std::uint8_t { kFirst, kSecond, kSpecial };
  Kind kind;
  TokenId type_id;
  std::vector<TokenId> ids;  // of kSpecial
};

// Every post-processor of tokenizer.json comes down to two templates. Immutable; thread-safe.
class PostProcessor {
 public:
  // Nothing added; segments 0 and 1.
  PostProcessor();
  PostProcessor(std::vector<TemplatePiece> single, std::vector<TemplatePiece> pair)
      : single_(std::move(single)), pair_(std::move(pair)) {}

  // [CLS] A [SEP] (B [SEP]), segments 0 and 1.
  static PostProcessor Bert(TokenId cls, TokenId sep);
  // <s> A </s> (</s> B </s>), all in segment 0.
  static PostProcessor Roberta(TokenId cls, TokenId sep);

  // The largest id that is added to any text; -1 if none is.
  TokenId largest_id() const;
  // How many tokens are added.
  std::size_t added_tokens(bool is_pair) const;
  Encoding Process(std::span<const TokenId> first, bool add_special_tokens) const;
  Encoding ProcessPair(std::span<const TokenId> first, std::span<const TokenId> second,
                       bool add_special_tokens) const;

 private:
  Encoding Apply(const std::vector<TemplatePiece>& pieces, std::span<const TokenId> first,
                 std::span<const TokenId> second, bool add_special_tokens) const;

  std::vector<TemplatePiece> single_;
  std::vector<TemplatePiece> pair_;
};

// Lengths that two texts of `first` and `second` tokens are cut to so that together they have at
// most `limit`: the longer one loses first, then both in turn (strategy "longest_first").
std::pair<std::size_t, std::size_t> TruncatePair(std::size_t first, std::size_t second,
                                                 std::size_t limit);

}  // namespace mdsa
