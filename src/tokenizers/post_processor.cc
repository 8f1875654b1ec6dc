#include "tokenizers/post_processor.h"

#include <algorithm>

namespace mdsa {
namespace {

TemplatePiece First() { return {TemplatePiece::kFirst, 0, {}}; }
TemplatePiece Second(TokenId type_id) { return {TemplatePiece::kSecond, type_id, {}}; }
TemplatePiece Special(TokenId id, TokenId type_id) {
  return {TemplatePiece::kSpecial, type_id, {id}};
}

}  // namespace

PostProcessor::PostProcessor() : single_({First()}), pair_({First(), Second(1)}) {}

PostProcessor PostProcessor::Bert(TokenId cls, TokenId sep) {
  return PostProcessor({Special(cls, 0), First(), Special(sep, 0)},
                       {Special(cls, 0), First(), Special(sep, 0), Second(1), Special(sep, 1)});
}

PostProcessor PostProcessor::Roberta(TokenId cls, TokenId sep) {
  return PostProcessor(
      {Special(cls, 0), First(), Special(sep, 0)},
      {Special(cls, 0), First(), Special(sep, 0), Special(sep, 0), Second(0), Special(sep, 0)});
}

TokenId PostProcessor::largest_id() const {
  TokenId largest = -1;
  for (const auto* const pieces : {&single_, &pair_}) {
    for (const TemplatePiece& piece : *pieces) {
      for (const TokenId id : piece.ids) largest = std::max(largest, id);
    }
  }
  return largest;
}

std::size_t PostProcessor::added_tokens(bool is_pair) const {
  std::size_t count = 0;
  for (const TemplatePiece& piece : is_pair ? pair_ : single_) count += piece.ids.size();
  return count;
}

Encoding PostProcessor::Apply(const std::vector<TemplatePiece>& pieces,
                              std::span<const TokenId> first, std::span<const TokenId> second,
                              bool add_special_tokens) const {
  Encoding out;
  for (const TemplatePiece& piece : pieces) {
    const bool special = piece.kind == TemplatePiece::kSpecial;
    if (special && !add_special_tokens) continue;
    const std::span<const TokenId> text = piece.kind == TemplatePiece::kFirst ? first : second;
    const std::span<const TokenId> ids = special ? std::span<const TokenId>(piece.ids) : text;
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
    out.type_ids.insert(out.type_ids.end(), ids.size(), piece.type_id);
    out.special_tokens_mask.insert(out.special_tokens_mask.end(), ids.size(), special ? 1 : 0);
  }
  return out;
}

Encoding PostProcessor::Process(std::span<const TokenId> first, bool add_special_tokens) const {
  return Apply(single_, first, {}, add_special_tokens);
}

Encoding PostProcessor::ProcessPair(std::span<const TokenId> first, std::span<const TokenId> second,
                                    bool add_special_tokens) const {
  return Apply(pair_, first, second, add_special_tokens);
}

std::pair<std::size_t, std::size_t> TruncatePair(std::size_t first, std::size_t second,
                                                 std::size_t limit) {
  if (first + second <= limit) return {first, second};
  const auto [shorter, longer] = std::minmax(first, second);
  std::size_t short_cut = shorter;
  std::size_t long_cut = limit >= shorter ? std::max(shorter, limit - shorter) : shorter;
  if (short_cut + long_cut > limit) {
    short_cut = limit / 2;
    long_cut = short_cut + limit % 2;
  }
  if (first > second) return {long_cut, short_cut};
  return {short_cut, long_cut};
}

}  // namespace mdsa
