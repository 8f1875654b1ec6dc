// Models: from a word to token ids.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "mdsa/tokenizer.h"
#include "tokenizers/vocabulary.h"

namespace mdsa {

// Immutable; thread-safe.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the ids of `word`, one piece of a pre-tokenized text: well-formed UTF-8, not empty.
  virtual void Tokenize(std::string_view word, std::vector<TokenId>* ids) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
  // Of the object and all that it holds.
  virtual std::size_t memory_bytes() const = 0;
};

}  // namespace mdsa
