#include "models/memory_ledger.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace mdsa {
namespace {

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

TEST(MemoryLedgerTest, GrantsUpToTheLimitAndTakesBack) {
  const auto ledger = MemoryLedger::Create("cpu", 100);
  auto a = ledger->TryReserve(60);
  ASSERT_TRUE(a);
  EXPECT_FALSE(ledger->TryReserve(41));
  auto b = ledger->TryReserve(40);
  ASSERT_TRUE(b);
  EXPECT_EQ(ledger->reserved_bytes(), 100u);
  a.reset();
  EXPECT_EQ(ledger->reserved_bytes(), 40u);
  EXPECT_EQ(ledger->peak_bytes(), 100u);
}

TEST(MemoryLedgerTest, ResizesWithinTheLimit) {
  const auto ledger = MemoryLedger::Create("cpu", 100);
  auto reservation = *ledger->TryReserve(80);
  EXPECT_FALSE(reservation.TryResize(101));
  EXPECT_EQ(reservation.bytes(), 80u);
  EXPECT_TRUE(reservation.TryResize(30));
  EXPECT_TRUE(reservation.TryResize(100));
  EXPECT_EQ(ledger->reserved_bytes(), 100u);
}

TEST(MemoryLedgerTest, AMovedReservationIsCountedOnce) {
  const auto ledger = MemoryLedger::Create("cpu", std::nullopt);
  auto a = *ledger->TryReserve(10);
  Reservation b = std::move(a);
  EXPECT_EQ(ledger->reserved_bytes(), 10u);
  auto c = *ledger->TryReserve(5);
  c = std::move(b);
  EXPECT_EQ(ledger->reserved_bytes(), 10u);
  c = {};
  EXPECT_EQ(ledger->reserved_bytes(), 0u);
}

TEST(MemoryLedgerTest, AbsurdSizesAreRefusedAndNothingWraps) {
  const auto limited = MemoryLedger::Create("cpu", 100);
  const auto held = limited->TryReserve(10);
  EXPECT_FALSE(limited->TryReserve(kMost));
  EXPECT_FALSE(limited->TryReserve(kMost - 5));
  const auto unlimited = MemoryLedger::Create("cpu", std::nullopt);
  const auto most = unlimited->TryReserve(kMost);
  ASSERT_TRUE(most);
  EXPECT_FALSE(unlimited->TryReserve(1));
}

TEST(MemoryLedgerTest, AReservationKeepsItsLedgerAlive) {
  auto ledger = MemoryLedger::Create("cpu", 100);
  auto reservation = ledger->TryReserve(10);
  ledger.reset();
  reservation.reset();
}

TEST(MemoryLedgerTest, ManyThreadsNeverExceedTheLimit) {
  const auto ledger = MemoryLedger::Create("cpu", 1000);
  {
    std::vector<std::jthread> threads;
    for (unsigned seed = 0; seed < 4; ++seed) {
      threads.emplace_back([&, seed] {
        std::minstd_rand random(seed + 1);
        std::vector<Reservation> mine;
        for (int step = 0; step < 5000; ++step) {
          if (auto more = ledger->TryReserve(random() % 300)) mine.push_back(*std::move(more));
          if (!mine.empty()) mine[random() % mine.size()].TryResize(random() % 300);
          if (mine.size() > 4) mine.erase(mine.begin());
          ASSERT_LE(ledger->reserved_bytes(), 1000u);
        }
      });
    }
  }
  EXPECT_EQ(ledger->reserved_bytes(), 0u);
  EXPECT_LE(ledger->peak_bytes(), 1000u);
}

}  // namespace
}  // namespace mdsa
