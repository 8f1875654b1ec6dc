#include "tokenizers/bpe.h"

#include <algorithm>

#include "base/error.h"
#include "base/heap_bytes.h"
#include "tokenizers/merge_queue.h"
#include "tokenizers/utf8.h"

namespace mdsa {
namespace {

// Words up to this many symbols are merged by scanning, which beats a heap there.
constexpr std::size_t kShortWord = 48;
constexpr char32_t kDirectChars = 0x180;  // includes the byte-level alphabet

}  // namespace

BpeModel::BpeModel(Vocabulary vocabulary, const BpeOptions& options, std::size_t merges)
    : vocabulary_(std::move(vocabulary)),
      options_(options),
      merges_(merges),
      whole_word_(new std::atomic<std::uint8_t>[vocabulary_.id_limit()]) {
  for (std::size_t id = 0; id < vocabulary_.id_limit(); ++id) whole_word_[id] = kUnknown;
  if (options_.unk_token) unk_ = vocabulary_.Find(*options_.unk_token);
  FindShortTokens();
}

Result<std::unique_ptr<BpeModel>> BpeModel::Create(Vocabulary vocabulary,
                                                   const std::vector<MergeText>& merges,
                                                   const BpeOptions& options) {
  std::unique_ptr<BpeModel> model(new BpeModel(std::move(vocabulary), options, merges.size()));
  MDSA_TRY(model->AddMerges(merges));
  return model;
}

void BpeModel::FindShortTokens() {
  char_tokens_.assign(kDirectChars, -1);
  std::string text;
  for (char32_t c = 0; c < kDirectChars; ++c) {
    text.clear();
    AppendUtf8(c, &text);
    char_tokens_[c] = vocabulary_.Find(text).value_or(-1);
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    byte_tokens_[byte] = vocabulary_.Find(fmt::format("<0x{:02X}>", byte)).value_or(-1);
  }
}

Status BpeModel::AddMerges(const std::vector<MergeText>& merges) {
  const auto missing = [](std::size_t rank, std::string_view token) {
    return Err(ErrorCode::kInvalidFormat, "merge {} needs the token '{}', which is not in vocab",
               rank, token.substr(0, 100));
  };
  const std::size_t prefix = options_.continuing_prefix.size();
  std::string text;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const auto left_id = vocabulary_.Find(left);
    if (!left_id) return missing(rank, left);
    const auto right_id = vocabulary_.Find(right);
    if (!right_id) return missing(rank, right);
    if (right.size() < prefix) {
      return Err(ErrorCode::kInvalidFormat, "merge {}: '{}' is shorter than the subword prefix",
                 rank, right);
    }
    text.assign(left).append(right.substr(prefix));
    const auto merged = vocabulary_.Find(text);
    if (!merged) return missing(rank, text);
    merges_.Add(*left_id, *right_id, {static_cast<std::uint32_t>(rank), *merged});
  }
  return {};
}

std::optional<TokenId> BpeModel::FindChar(std::string_view c, bool first, bool last,
                                          std::string* scratch) const {
  scratch->clear();
  const bool with_prefix = !first && !options_.continuing_prefix.empty();
  const bool with_suffix = last && !options_.end_of_word_suffix.empty();
  if (!with_prefix && !with_suffix) {
    std::size_t position = 0;
    const char32_t value = NextChar(c, &position);
    if (value >= kDirectChars) return vocabulary_.Find(c);
    const TokenId id = char_tokens_[value];
    return id >= 0 ? std::optional<TokenId>(id) : std::nullopt;
  }
  if (with_prefix) scratch->append(options_.continuing_prefix);
  scratch->append(c);
  if (with_suffix) scratch->append(options_.end_of_word_suffix);
  return vocabulary_.Find(*scratch);
}

bool BpeModel::AppendByteTokens(std::string_view c, std::vector<TokenId>* symbols) const {
  const auto token = [this](char byte) { return byte_tokens_[static_cast<unsigned char>(byte)]; };
  if (!std::all_of(c.begin(), c.end(), [&](char byte) { return token(byte) >= 0; })) return false;
  for (const char byte : c) symbols->push_back(token(byte));
  return true;
}

void BpeModel::AppendSymbols(std::string_view word, std::vector<TokenId>* symbols) const {
  std::string scratch;
  // Unknown characters wait here; known ones and the end of the word put them out. Byte tokens do
  // not, so that an unknown before them comes after them: the reference does the same.
  bool unknown_waits = false;
  const auto flush = [&] {
    if (unknown_waits) symbols->push_back(*unk_);
    unknown_waits = false;
  };
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t length = Utf8Length(word[at]);
    const std::string_view c = word.substr(at, length);
    const bool last = at + length == word.size();
    const auto id = FindChar(c, at == 0, last, &scratch);
    at += length;
    if (id) {
      flush();
      symbols->push_back(*id);
      continue;
    }
    if (options_.byte_fallback) {
      // With a prefix or suffix the bytes of the whole spelling are taken.
      if (AppendByteTokens(scratch.empty() ? c : std::string_view(scratch), symbols)) continue;
    }
    if (!unk_) continue;
    if (!options_.fuse_unk) flush();
    unknown_waits = true;
  }
  flush();
}

void BpeModel::MergeShort(std::vector<TokenId>* symbols, std::size_t begin) const {
  TokenId* const ids = symbols->data() + begin;
  std::size_t n = symbols->size() - begin;
  const Merge* merges[kShortWord];
  for (std::size_t i = 0; i + 1 < n; ++i) merges[i] = merges_.Find(ids[i], ids[i + 1]);
  while (n > 1) {
    std::size_t best = n;
    for (std::size_t i = 0; i + 1 < n; ++i) {
      if (merges[i] != nullptr && (best == n || merges[i]->rank < merges[best]->rank)) best = i;
    }
    if (best == n) break;
    ids[best] = merges[best]->merged;
    std::copy(ids + best + 2, ids + n, ids + best + 1);
    if (best + 2 < n) std::copy(merges + best + 2, merges + n - 1, merges + best + 1);
    --n;
    if (best > 0) merges[best - 1] = merges_.Find(ids[best - 1], ids[best]);
    if (best + 1 < n) merges[best] = merges_.Find(ids[best], ids[best + 1]);
  }
  symbols->resize(begin + n);
}

void BpeModel::MergeLong(std::vector<TokenId>* symbols, std::size_t begin) const {
  MergeQueue queue(&merges_, std::span(*symbols).subspan(begin));
  symbols->resize(begin + queue.Run());
}

void BpeModel::Tokenize(std::string_view word, std::vector<TokenId>* ids) const {
  const auto whole = vocabulary_.Find(word);
  if (whole && options_.ignore_merges) {
    ids->push_back(*whole);
    return;
  }
  // Two spellings may share an id; only the one that the id stands for may use what is known.
  std::atomic<std::uint8_t>* const known = whole && vocabulary_.Token(*whole) == word
                                               ? &whole_word_[static_cast<std::size_t>(*whole)]
                                               : nullptr;
  if (known != nullptr && known->load(std::memory_order_relaxed) == kMergesToItself) {
    ids->push_back(*whole);
    return;
  }
  const std::size_t begin = ids->size();
  AppendSymbols(word, ids);
  if (ids->size() - begin <= kShortWord) {
    MergeShort(ids, begin);
  } else {
    MergeLong(ids, begin);
  }
  if (known != nullptr) {
    const bool itself = ids->size() == begin + 1 && ids->back() == *whole;
    known->store(itself ? kMergesToItself : kMergesOtherwise, std::memory_order_relaxed);
  }
}

std::size_t BpeModel::memory_bytes() const {
  return vocabulary_.memory_bytes() + merges_.memory_bytes() + HeapBytes(char_tokens_) +
         HeapBlockBytes(vocabulary_.id_limit()) + HeapBytes(options_.continuing_prefix) +
         HeapBytes(options_.end_of_word_suffix) + HeapBlockBytes(sizeof(*this));
}

}  // namespace mdsa
