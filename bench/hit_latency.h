// How long a request for a ready model takes, one by one, and what other models' loads, drains and
// evictions add to it.
#pragma once

#include <cstdint>

namespace mdsa::bench {

struct HitLatencyOptions {
  std::int64_t hits = 1'000'000;  // in each situation and round
  int rounds = 7;
};

// Measures on one thread, kept on a core of its own if there are two, and prints one row for each
// situation. The situations take turns, and each percentile is the median over the rounds: a
// machine that is shared is slower for a while, and for all of them alike.
void PrintHitLatency(const HitLatencyOptions& options);

}  // namespace mdsa::bench
