// WordPiece (Wu et al. 2016, as in BERT) and WordLevel models.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "base/heap_bytes.h"
#include "mdsa/result.h"
#include "tokenizers/model.h"

namespace mdsa {

struct WordPieceOptions {
  std::string unk_token = "[UNK]";
  std::string continuing_prefix = "##";
  std::size_t max_chars_per_word = 100;  // at most 1000 are honoured
};

// Greedy: the longest token that begins the word, then the longest that goes on, written with the
// prefix. A word that cannot be covered, or with too many characters, is one unknown token.
// Immutable; thread-safe.
class WordPieceModel final : public TokenModel {
 public:
  // kInvalidFormat if the unknown token is not in the vocabulary.
  static Result<WordPieceModel> Create(Vocabulary vocabulary, const WordPieceOptions& options);

  void Tokenize(std::string_view word, std::vector<TokenId>* ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::size_t memory_bytes() const override;

 private:
  WordPieceModel(Vocabulary vocabulary, const WordPieceOptions& options, TokenId unk);

  Vocabulary vocabulary_;
  std::string prefix_;
  std::size_t max_chars_;
  TokenId unk_;
};

// A word is one token or the unknown one. Immutable; thread-safe.
class WordLevelModel final : public TokenModel {
 public:
  // kInvalidFormat if the unknown token is not in the vocabulary.
  static Result<WordLevelModel> Create(Vocabulary vocabulary, std::string_view unk_token);

  void Tokenize(std::string_view word, std::vector<TokenId>* ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::size_t memory_bytes() const override {
    return vocabulary_.memory_bytes() + HeapBlockBytes(sizeof(*this));
  }

 private:
  WordLevelModel(Vocabulary vocabulary, TokenId unk)
      : vocabulary_(std::move(vocabulary)), unk_(unk) {}

  Vocabulary vocabulary_;
  TokenId unk_;
};

}  // namespace mdsa
