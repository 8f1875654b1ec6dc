// Internal to src/kernels: how a kernel divides the scratch memory that its caller passes among the
// threads of a loop. Kernels never allocate: a loop body has nowhere to report a refusal.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include "base/checked_math.h"
#include "base/thread_pool.h"

namespace mdsa::kernels {

inline constexpr std::int64_t kScratchAlignment = 64;

// A product of sizes; absurd ones give more than any machine has and never wrap, also not when a
// few of them are added.
constexpr std::int64_t SaturatingProduct(std::initializer_list<std::int64_t> factors) {
  constexpr std::int64_t kTooMuch = std::numeric_limits<std::int64_t>::max() / 16;
  std::int64_t product = 1;
  for (const std::int64_t factor : factors) {
    product = std::min(CheckedMul(product, factor).value_or(kTooMuch), kTooMuch);
  }
  return product;
}

// As ThreadPool::ParallelFor, but body(begin, end, slot) also gets a number in [0, pool.threads())
// that no other body running at that time has.
template <typename Body>
void ParallelForSlots(ThreadPool& pool, std::int64_t n, std::int64_t grain, const Body& body) {
  const std::int64_t ranges = CeilDiv(n, grain);
  std::atomic<std::int64_t> next = 0;
  pool.ParallelFor(std::min<std::int64_t>(pool.threads(), ranges), 1,
                   [&](std::int64_t slot, std::int64_t) {
                     while (true) {
                       const std::int64_t range = next.fetch_add(1, std::memory_order_relaxed);
                       if (range >= ranges) return;
                       body(range * grain, std::min(n, (range + 1) * grain), slot);
                     }
                   });
}

}  // namespace mdsa::kernels
