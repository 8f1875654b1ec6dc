#include "tokenizers/word_piece.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/heap_bytes.h"
#include "tokenizers/utf8.h"

namespace mdsa {
namespace {

Result<TokenId> FindUnknown(const Vocabulary& vocabulary, std::string_view token) {
  const auto id = vocabulary.Find(token);
  if (id) return *id;
  return Err(ErrorCode::kInvalidFormat, "the unknown token '{}' is not in the vocabulary",
             token.substr(0, 100));
}

}  // namespace

WordPieceModel::WordPieceModel(Vocabulary vocabulary, const WordPieceOptions& options, TokenId unk)
    : vocabulary_(std::move(vocabulary)),
      prefix_(options.continuing_prefix),
      max_chars_(options.max_chars_per_word),
      unk_(unk) {}

Result<WordPieceModel> WordPieceModel::Create(Vocabulary vocabulary,
                                              const WordPieceOptions& options) {
  MDSA_ASSIGN(const TokenId unk, FindUnknown(vocabulary, options.unk_token));
  return WordPieceModel(std::move(vocabulary), options, unk);
}

void WordPieceModel::Tokenize(std::string_view word, std::vector<TokenId>* ids) const {
  const std::size_t old_size = ids->size();
  if (word.size() > max_chars_ && CountChars(word) > max_chars_) {
    ids->push_back(unk_);
    return;
  }
  if (const auto whole = vocabulary_.Find(word)) {
    ids->push_back(*whole);
    return;
  }
  // The prefix is written over what has been consumed, right before the rest of the word.
  const std::size_t prefix = prefix_.size();
  std::string buffer = prefix_;
  buffer.append(word);
  std::size_t start = prefix;
  while (start < buffer.size()) {
    std::size_t begin = start;
    if (start > prefix) {
      begin = start - prefix;
      std::memcpy(buffer.data() + begin, prefix_.data(), prefix);
    }
    const auto match = vocabulary_.FindLongestPrefix(std::string_view(buffer).substr(begin));
    // A match inside the prefix does not consume anything and counts as none.
    if (!match || begin + match->bytes <= start) {
      ids->resize(old_size);
      ids->push_back(unk_);
      return;
    }
    ids->push_back(match->id);
    start = begin + match->bytes;
  }
}

std::size_t WordPieceModel::memory_bytes() const {
  return vocabulary_.memory_bytes() + HeapBytes(prefix_) + HeapBlockBytes(sizeof(*this));
}

Result<WordLevelModel> WordLevelModel::Create(Vocabulary vocabulary, std::string_view unk_token) {
  MDSA_ASSIGN(const TokenId unk, FindUnknown(vocabulary, unk_token));
  return WordLevelModel(std::move(vocabulary), unk);
}

void WordLevelModel::Tokenize(std::string_view word, std::vector<TokenId>* ids) const {
  ids->push_back(vocabulary_.Find(word).value_or(unk_));
}

}  // namespace mdsa
