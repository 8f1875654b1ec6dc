// Added tokens: texts that are cut out before the model sees anything ("<|im_start|>").
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "mdsa/result.h"
#include "mdsa/tokenizer.h"
#include "tokenizers/normalizer.h"
#include "tokenizers/pre_tokenizer.h"
#include "tokenizers/string_matcher.h"
#include "tokenizers/vocabulary.h"

namespace mdsa {

struct AddedToken {
  std::string content;
  bool single_word = false;  // only between characters that are no word characters
  bool lstrip = false;       // takes the white space on its left with it
  bool rstrip = false;       // and on its right
  bool normalized = true;    // found in the normalized text, in its normalized spelling
  bool special = false;      // left out by Decode with skip_special_tokens
};

// Immutable after the last Add; thread-safe then.
class AddedVocabulary {
 public:
  // Longest content; real ones are below 100 bytes.
  static constexpr std::size_t kMaxTokenBytes = 1024;

  // Ids as the reference gives them: that of the model's vocabulary if it has the token, else the
  // next one behind it. `normalizer` may be null. kUnsupported if the content is too long.
  Status Add(const AddedToken& token, const Vocabulary& vocabulary, const Normalizer* normalizer);
  // To be called once after the last Add.
  void Finish();

  // Cuts raw text at the tokens that are not normalized, normalizes what lies between, and cuts
  // that at the others.
  void Extract(std::string_view text, const Normalizer* normalizer, PieceList* list) const;

  std::optional<TokenId> Find(std::string_view content) const;
  // How the id is spelled for decoding, which is the normalized spelling of a normalized token.
  std::optional<std::string_view> Token(TokenId id) const;
  // Whether decoding leaves out tokens with this spelling.
  bool IsSpecial(std::string_view spelling) const {
    return special_.contains(std::string(spelling));
  }
  TokenId id_limit() const { return id_limit_; }
  std::size_t memory_bytes() const;

 private:
  struct Entry {
    AddedToken token;
    std::string spelling;  // normalized content if `normalized`, else the content
  };

  // Appends pieces of text[begin, end) of the list, relative to `base`.
  void Cut(const StringMatcher& matcher, std::string_view text, std::size_t base,
           bool at_text_start, std::vector<Piece>* out) const;
  TokenId IdOf(const AddedToken& token, const Vocabulary& vocabulary) const;

  std::unordered_map<std::string, TokenId> ids_;
  std::unordered_map<TokenId, Entry> entries_;
  std::unordered_set<std::string> special_;
  StringMatcher raw_;         // contents of tokens that are not normalized
  StringMatcher normalized_;  // spellings of the others
  TokenId new_tokens_ = 0;    // that the model's vocabulary lacks
  TokenId id_limit_ = 0;
};

}  // namespace mdsa
