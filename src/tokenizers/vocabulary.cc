#include "tokenizers/vocabulary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/heap_bytes.h"
#include "tokenizers/hash.h"

namespace mdsa {
namespace {

constexpr std::uint32_t kNoSlot = std::numeric_limits<std::uint32_t>::max();
constexpr int kSlotBits = 23;
constexpr std::uint32_t kSlotMask = (1u << kSlotBits) - 1;
static_assert(Vocabulary::kMaxTokens < kSlotMask);

// Entries of the hash table of so many tokens.
std::size_t TableSize(std::size_t tokens) {
  return std::bit_ceil(std::max<std::size_t>(16, tokens * 4 / 3 + 1));
}

std::uint32_t TagOf(std::uint64_t hash) {
  return static_cast<std::uint32_t>(hash >> 32) & ~kSlotMask;
}

}  // namespace

std::uint64_t ProcessHashKey() {
  static const std::uint64_t key = [] {
    std::random_device device;
    return (static_cast<std::uint64_t>(device()) << 32) | device();
  }();
  return key;
}

Status Vocabulary::Builder::Add(std::string_view token, std::int64_t id) {
  if (id < 0 || id >= static_cast<std::int64_t>(kMaxTokens)) {
    return Err(ErrorCode::kInvalidFormat, "token '{}' has id {}; ids go from 0 to {}",
               token.substr(0, 100), id, kMaxTokens - 1);
  }
  if (ends_.size() >= kMaxTokens) {
    return Err(ErrorCode::kInvalidFormat, "more than {} tokens", kMaxTokens);
  }
  if (token.size() > std::numeric_limits<std::uint32_t>::max() - bytes_.size()) {
    return Err(ErrorCode::kInvalidFormat, "tokens of more than 4 GiB");
  }
  bytes_.append(token);
  ends_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  ids_.push_back(static_cast<TokenId>(id));
  return {};
}

void Vocabulary::Builder::Reserve(std::size_t tokens, std::size_t bytes) {
  ends_.reserve(tokens);
  ids_.reserve(tokens);
  bytes_.reserve(bytes);
}

Vocabulary Vocabulary::Builder::Build() && {
  // Of two tokens with one id the later one of the file comes last: it is what the id decodes to.
  std::vector<std::uint32_t> order(ids_.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::pair(ids_[a], a) < std::pair(ids_[b], b);
  });
  Vocabulary result;
  result.bytes_.reserve(bytes_.size());
  result.ends_.reserve(ends_.size());
  std::vector<TokenId> ids;
  ids.reserve(ids_.size());
  for (const std::uint32_t from : order) {
    const std::uint32_t begin = from == 0 ? 0 : ends_[from - 1];
    result.bytes_.append(bytes_, begin, ends_[from] - begin);
    result.ends_.push_back(static_cast<std::uint32_t>(result.bytes_.size()));
    result.longest_ = std::max<std::size_t>(result.longest_, ends_[from] - begin);
    ids.push_back(ids_[from]);
  }
  std::vector<std::uint32_t> slot_of_entry(order.size());
  for (std::uint32_t slot = 0; slot < order.size(); ++slot) slot_of_entry[order[slot]] = slot;
  result.BuildTable(slot_of_entry);
  result.BuildIds(std::move(ids));
  return result;
}

void Vocabulary::BuildTable(const std::vector<std::uint32_t>& slots_in_file_order) {
  table_.assign(TableSize(ends_.size()), 0);
  for (const std::uint32_t slot : slots_in_file_order) {
    const std::string_view token = SlotText(slot);
    const std::uint64_t hash = HashBytes(token, ProcessHashKey());
    std::uint32_t& entry = table_[Probe(token, hash)];
    if (entry == 0) ++size_;
    entry = (slot + 1) | TagOf(hash);
  }
}

void Vocabulary::BuildIds(std::vector<TokenId> ids) {
  // With repeated tokens some slots cannot be found any more, and their ids mean nothing.
  bool dense = size_ == ids.size();
  for (std::size_t slot = 0; slot < ids.size(); ++slot) {
    dense = dense && ids[slot] == static_cast<TokenId>(slot);
  }
  if (dense) return;
  slot_of_id_.assign(static_cast<std::size_t>(ids.back()) + 1, kNoSlot);
  for (std::uint32_t slot = 0; slot < ids.size(); ++slot) {
    const std::string_view token = SlotText(slot);
    const std::uint32_t entry = table_[Probe(token, HashBytes(token, ProcessHashKey()))];
    if ((entry & kSlotMask) - 1 != slot) continue;
    slot_of_id_[static_cast<std::size_t>(ids[slot])] = slot;
  }
  id_of_slot_ = std::move(ids);
}

std::size_t Vocabulary::Probe(std::string_view token, std::uint64_t hash) const {
  const std::size_t mask = table_.size() - 1;
  const std::uint32_t tag = TagOf(hash);
  for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
    const std::uint32_t entry = table_[i];
    if (entry == 0) return i;
    if ((entry & ~kSlotMask) == tag && SlotText((entry & kSlotMask) - 1) == token) return i;
  }
}

std::optional<TokenId> Vocabulary::Find(std::string_view token) const {
  if (table_.empty() || token.size() > longest_) return std::nullopt;
  return FindHashed(token, HashBytes(token, ProcessHashKey()));
}

std::optional<Vocabulary::Prefix> Vocabulary::FindLongestPrefix(std::string_view text) const {
  if (table_.empty()) return std::nullopt;
  const std::uint64_t key = ProcessHashKey();
  const std::size_t limit = std::min({text.size(), longest_, kMaxPrefixBytes});
  std::array<std::uint64_t, kMaxPrefixBytes / kHashStep + 1> states;
  states[0] = HashStart(key);
  for (std::size_t i = 1; i * kHashStep < limit; ++i) {
    states[i] = HashAdvance(states[i - 1], text.data() + (i - 1) * kHashStep, key);
  }
  for (std::size_t end = limit; end > 0; --end) {
    // Only whole characters.
    if (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) continue;
    const std::size_t full = (end - 1) / kHashStep;
    const std::string_view tail = text.substr(full * kHashStep, end - full * kHashStep);
    const auto id = FindHashed(text.substr(0, end), HashFinish(states[full], tail, end, key));
    if (id) return Prefix{*id, end};
  }
  return std::nullopt;
}

std::optional<TokenId> Vocabulary::FindHashed(std::string_view token, std::uint64_t hash) const {
  const std::uint32_t entry = table_[Probe(token, hash)];
  if (entry == 0) return std::nullopt;
  const std::uint32_t slot = (entry & kSlotMask) - 1;
  return id_of_slot_.empty() ? static_cast<TokenId>(slot) : id_of_slot_[slot];
}

std::optional<std::string_view> Vocabulary::Token(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= id_limit()) return std::nullopt;
  auto slot = static_cast<std::uint32_t>(id);
  if (!slot_of_id_.empty()) slot = slot_of_id_[slot];
  if (slot == kNoSlot) return std::nullopt;
  return SlotText(slot);
}

std::size_t Vocabulary::memory_bytes() const {
  return HeapBytes(bytes_) + HeapBytes(ends_) + HeapBytes(table_) + HeapBytes(slot_of_id_) +
         HeapBytes(id_of_slot_);
}

std::uint64_t Vocabulary::BytesFor(std::uint64_t tokens, std::uint64_t token_bytes) {
  // More than kMaxTokens are refused.
  const std::uint64_t count = std::min<std::uint64_t>(tokens, kMaxTokens);
  return HeapBlockBytes(token_bytes + 1) + HeapBlockBytes(count * sizeof(std::uint32_t)) +
         HeapBlockBytes(TableSize(count) * sizeof(std::uint32_t));
}

}  // namespace mdsa
