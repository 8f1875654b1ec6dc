#include "tokenizers/tokenizer_size.h"

#include "base/byte_count.h"
#include "tokenizers/merge_table.h"
#include "tokenizers/vocabulary.h"

namespace mdsa {
namespace {

// The rest of a tokenizer: its object, what it looks up directly, a compiled regex.
constexpr std::uint64_t kRest = 48 * 1024;
// One added token: its spellings in two maps and a set, and its nodes in a trie.
constexpr std::uint64_t kAddedToken = 640;

// `merges`: with what a BPE model knows of each token.
std::uint64_t ResidentBytes(std::uint64_t tokens, std::uint64_t token_bytes, std::uint64_t merges,
                            std::uint64_t added) {
  const std::uint64_t bpe = merges == 0 ? 0 : ByteSum({MergeTable::BytesFor(merges), tokens});
  return ByteSum(
      {Vocabulary::BytesFor(tokens, token_bytes), bpe, ByteProduct({added, kAddedToken}), kRest});
}

// Lists that a vocabulary is built from: texts, ends, ids and two orders.
std::uint64_t BuilderBytes(std::uint64_t tokens, std::uint64_t token_bytes) {
  return ByteSum({ByteProduct({tokens, 40}), ByteProduct({token_bytes, 2})});
}

}  // namespace

void TokenizerJsonCounter::Read(std::span<const std::byte> part) {
  bytes_ += part.size();
  for (const std::byte byte : part) {
    const char c = static_cast<char>(byte);
    if (in_string_) {
      ReadInString(c);
    } else {
      ReadOutside(c);
    }
  }
}

void TokenizerJsonCounter::ReadInString(char c) {
  constexpr std::size_t kLongestKey = 16;  // of those that matter
  if (c == '"' && !escaped_) {
    in_string_ = false;
    return;
  }
  escaped_ = c == '\\' && !escaped_;
  if (depth_ <= 2 && key_.size() < kLongestKey) key_.push_back(c);
  if (section_ == Section::kVocab && depth_ == 3) ++token_bytes_;
}

void TokenizerJsonCounter::ReadOutside(char c) {
  switch (c) {
    case '"':
      in_string_ = true;
      ++strings_;
      if (depth_ <= 2) key_.clear();
      return;
    case '{':
    case '[':
      ++structurals_;
      Open();
      return;
    case '}':
    case ']':
      ++structurals_;
      if (depth_ > 0) --depth_;
      if (depth_ < 3) section_ = Section::kOther;
      return;
    case ':':
      ++structurals_;
      if (section_ == Section::kVocab && depth_ == 3) ++tokens_;
      return;
    case ',':
      ++structurals_;
      if (section_ == Section::kMerges && depth_ == 3) ++merges_;
      return;
    default:
      return;
  }
}

void TokenizerJsonCounter::Open() {
  ++depth_;
  if (depth_ == 2) root_ = key_;
  if (depth_ != 3) return;
  if (root_ == "added_tokens") ++added_;
  if (root_ != "model") return;
  if (key_ == "vocab") section_ = Section::kVocab;
  if (key_ == "merges") {
    section_ = Section::kMerges;
    ++merges_;  // the one before the first comma
  }
}

TokenizerSize TokenizerJsonCounter::Size() const {
  TokenizerSize size;
  size.resident = ResidentBytes(tokens_, token_bytes_, merges_, added_);
  // The text, its padded copy and the parser's copies of the strings; a place in the parser's index
  // and one or two in its tree for each string, number and brace; the lists that are built from it.
  size.loading =
      ByteSum({ByteProduct({bytes_, 3}), ByteProduct({ByteSum({structurals_, strings_}), 14}),
               BuilderBytes(tokens_, token_bytes_), ByteProduct({merges_, 32}), kRest});
  return size;
}

TokenizerSize SizeOfVocabTxt(std::uint64_t bytes, std::uint64_t lines) {
  constexpr std::uint64_t kSpecialTokens = 5;
  TokenizerSize size;
  size.resident = ResidentBytes(lines, bytes, 0, kSpecialTokens);
  size.loading = ByteSum({bytes, BuilderBytes(lines, bytes), kRest});
  return size;
}

TokenizerSize SizeOfGguf(const GgufVocabularyCounts& counts) {
  // Measured: a vocabulary of 32,000 tokens gives 61,249 merges.
  const std::uint64_t merges =
      counts.derives_merges ? ByteProduct({2, counts.tokens}) : counts.merges;
  // "##" is put before the continuations of a WordPiece vocabulary.
  const std::uint64_t token_bytes = ByteSum({counts.token_bytes, ByteProduct({2, counts.tokens})});
  TokenizerSize size;
  size.resident = ByteSum(
      {ResidentBytes(counts.tokens, token_bytes, merges, counts.added), counts.template_bytes});
  // A token is a view, a string in each of two lists, a score and a type; a merge is a view, a
  // string and two views, and while merges are derived a candidate in a list that grows.
  size.loading =
      ByteSum({ByteProduct({counts.tokens, 96}), BuilderBytes(counts.tokens, token_bytes),
               ByteProduct({merges, counts.derives_merges ? 280u : 96u}), kRest});
  return size;
}

}  // namespace mdsa
