#include "tokenizers/added_vocabulary.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/heap_bytes.h"
#include "tokenizers/char_class.h"
#include "tokenizers/utf8.h"

namespace mdsa {
namespace {

bool StartsWith(std::string_view text, CharClass which) {
  std::size_t position = 0;
  return !text.empty() && CharTable::Get().Is(NextChar(text, &position), which);
}

bool EndsWith(std::string_view text, CharClass which) {
  return !text.empty() && StartsWith(text.substr(PreviousChar(text, text.size())), which);
}

}  // namespace

TokenId AddedVocabulary::IdOf(const AddedToken& token, const Vocabulary& vocabulary) const {
  if (const auto known = ids_.find(token.content); known != ids_.end()) return known->second;
  if (const auto id = vocabulary.Find(token.content)) return *id;
  // Counted, not by largest id: that is what the reference does with a vocabulary that has holes.
  return static_cast<TokenId>(vocabulary.size()) + new_tokens_;
}

Status AddedVocabulary::Add(const AddedToken& token, const Vocabulary& vocabulary,
                            const Normalizer* normalizer) {
  if (token.content.empty()) return {};
  if (token.content.size() > kMaxTokenBytes) {
    return Err(ErrorCode::kUnsupported, "added token of {} bytes; at most {} are taken",
               token.content.size(), kMaxTokenBytes);
  }
  Entry entry{token, token.content};
  if (token.normalized && normalizer != nullptr) normalizer->Apply(&entry.spelling);
  if (entry.spelling.size() > 4 * kMaxTokenBytes) {
    return Err(ErrorCode::kUnsupported, "added token of {} bytes once normalized",
               entry.spelling.size());
  }
  const TokenId id = IdOf(token, vocabulary);
  if (!ids_.contains(token.content) && !vocabulary.Find(token.content)) ++new_tokens_;
  ids_[token.content] = id;
  if (token.special) special_.insert(token.content);
  entries_[id] = std::move(entry);
  id_limit_ = std::max(id_limit_, id + 1);
  return {};
}

void AddedVocabulary::Finish() {
  std::map<std::string, std::int32_t> raw;
  std::map<std::string, std::int32_t> normalized;
  for (const auto& [id, entry] : entries_) {
    auto& strings = entry.token.normalized ? normalized : raw;
    // Of equal spellings the lowest id is found.
    const auto [place, is_new] = strings.try_emplace(entry.spelling, id);
    if (!is_new) place->second = std::min(place->second, id);
  }
  raw_.Build(raw);
  normalized_.Build(normalized);
}

void AddedVocabulary::Cut(const StringMatcher& matcher, std::string_view text, std::size_t base,
                          bool at_text_start, std::vector<Piece>* out) const {
  const auto push = [&](std::size_t begin, std::size_t end, TokenId id) {
    if (begin < end) out->push_back({base + begin, base + end, id, at_text_start && begin == 0});
  };
  std::size_t done = 0;  // end of the last piece
  for (auto match = matcher.Find(text, 0); match; match = matcher.Find(text, match->end)) {
    const AddedToken& token = entries_.at(match->value).token;
    const std::string_view before = text.substr(0, match->begin);
    const std::string_view after = text.substr(match->end);
    if (token.single_word && (EndsWith(before, kWordChar) || StartsWith(after, kWordChar))) {
      continue;
    }
    std::size_t begin = match->begin;
    if (token.lstrip) {
      while (begin > done && EndsWith(text.substr(0, begin), kSpace)) {
        begin = PreviousChar(text, begin);
      }
      begin = std::max(begin, done);
    }
    std::size_t end = match->end;
    if (token.rstrip) {
      while (StartsWith(text.substr(end), kSpace)) NextChar(text, &end);
    }
    // The white space that an earlier token took may hold this one; then it is found all the same.
    push(done, begin, kNoToken);
    push(begin, end, match->value);
    done = end;
  }
  push(done, text.size(), kNoToken);
}

void AddedVocabulary::Extract(std::string_view text, const Normalizer* normalizer,
                              PieceList* list) const {
  std::vector<Piece> raw_pieces;
  Cut(raw_, text, 0, true, &raw_pieces);
  std::string normalized;
  for (const Piece& piece : raw_pieces) {
    const std::size_t base = list->text.size();
    const std::string_view raw = text.substr(piece.begin, piece.end - piece.begin);
    if (piece.id != kNoToken) {
      list->pieces.push_back({base, base, piece.id, piece.at_text_start});
      continue;
    }
    if (normalizer == nullptr) {
      list->text.append(raw);
      Cut(normalized_, raw, base, piece.at_text_start, &list->pieces);
    } else {
      normalized.assign(raw);
      normalizer->Apply(&normalized);
      list->text.append(normalized);
      Cut(normalized_, normalized, base, piece.at_text_start, &list->pieces);
    }
  }
}

std::optional<TokenId> AddedVocabulary::Find(std::string_view content) const {
  const auto found = ids_.find(std::string(content));
  return found == ids_.end() ? std::nullopt : std::optional<TokenId>(found->second);
}

std::optional<std::string_view> AddedVocabulary::Token(TokenId id) const {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return std::nullopt;
  return found->second.spelling;
}

std::size_t AddedVocabulary::memory_bytes() const {
  std::size_t bytes = raw_.memory_bytes() + normalized_.memory_bytes() + HashNodesBytes(ids_) +
                      HashNodesBytes(entries_) + HashNodesBytes(special_);
  for (const auto& [content, id] : ids_) bytes += HeapBytes(content);
  for (const auto& [id, entry] : entries_) {
    bytes += HeapBytes(entry.token.content) + HeapBytes(entry.spelling);
  }
  for (const std::string& content : special_) bytes += HeapBytes(content);
  return bytes;
}

}  // namespace mdsa
