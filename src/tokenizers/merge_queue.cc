#include "tokenizers/merge_queue.h"

#include <algorithm>

namespace mdsa {
namespace {

constexpr TokenId kGone = -1;

}  // namespace

MergeQueue::MergeQueue(const MergeTable* merges, std::span<TokenId> symbols)
    : merges_(*merges), symbols_(symbols) {
  const auto n = static_cast<std::int32_t>(symbols.size());
  links_.reserve(symbols.size());
  for (std::int32_t i = 0; i < n; ++i) links_.push_back({i - 1, i + 1 < n ? i + 1 : -1});
  heap_.reserve(symbols.size());
  for (std::int32_t i = 0; i < n; ++i) {
    if (const Merge* merge = MergeAt(i)) heap_.push_back({merge->rank, i, merge->merged});
  }
  std::make_heap(heap_.begin(), heap_.end());
}

const Merge* MergeQueue::MergeAt(std::int32_t position) {
  const std::int32_t next = LinkAt(position).next;
  if (IdAt(position) == kGone || next < 0) return nullptr;
  return merges_.Find(IdAt(position), IdAt(next));
}

void MergeQueue::Push(std::int32_t position) {
  const Merge* const merge = MergeAt(position);
  if (merge == nullptr) return;
  heap_.push_back({merge->rank, position, merge->merged});
  std::push_heap(heap_.begin(), heap_.end());
}

std::size_t MergeQueue::Run() {
  while (!heap_.empty()) {
    const Candidate top = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    const Merge* const merge = MergeAt(top.position);
    if (merge == nullptr || merge->merged != top.merged) continue;
    const std::int32_t right = LinkAt(top.position).next;
    IdAt(top.position) = top.merged;
    IdAt(right) = kGone;
    const std::int32_t after = LinkAt(right).next;
    LinkAt(top.position).next = after;
    if (after >= 0) LinkAt(after).previous = top.position;
    if (LinkAt(top.position).previous >= 0) Push(LinkAt(top.position).previous);
    Push(top.position);
  }
  const auto end = std::remove(symbols_.begin(), symbols_.end(), kGone);
  return static_cast<std::size_t>(end - symbols_.begin());
}

}  // namespace mdsa
