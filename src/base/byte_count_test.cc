#include "base/byte_count.h"

#include <gtest/gtest.h>

#include "base/free_memory.h"
#include "base/heap_bytes.h"
#include "base/memory_probe.h"

namespace mdsa {
namespace {

TEST(ByteCountTest, SumsAndProductsSaturate) {
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 63;
  EXPECT_EQ(ByteSum({1, 2, 3}), 6u);
  EXPECT_EQ(ByteProduct({2, 3, 4}), 24u);
  EXPECT_EQ(ByteProduct({}), 1u);
  EXPECT_EQ(ByteSum({kHuge, kHuge, 1}), kTooManyBytes);
  EXPECT_EQ(ByteProduct({kHuge, kHuge}), kTooManyBytes);
  EXPECT_EQ(ByteProduct({kHuge, kHuge, 0}), 0u);
}

TEST(HeapBytesTest, AgreesWithTheAllocator) {
  EXPECT_EQ(HeapBytes(std::string("short")), 0u);
  EXPECT_EQ(HeapBytes(std::vector<int>()), 0u);
  if constexpr (test::kMemoryIsMeasurable) {
    for (const std::size_t size : {1u, 24u, 25u, 1'000u, 100'000u}) {
      constexpr std::size_t kBlocks = 300;
      std::vector<std::vector<char>> blocks(kBlocks);
      const std::size_t before = test::HeapInUse();
      for (std::vector<char>& block : blocks) block.resize(size);
      const std::size_t taken = test::HeapInUse() - before;
      const std::size_t said = kBlocks * HeapBytes(blocks.front());
      // A few blocks come from what the allocator keeps for the thread and counts as in use.
      EXPECT_LE(taken, said) << size;
      EXPECT_GE(taken, said - said / 20) << size;
    }
  }
}

TEST(FreeMemoryTest, WhatWasFreedGoesBackToTheSystem) {
  ReturnFreeMemory();
  const std::size_t before = test::ProcessBytes("VmRSS");
  {
    // Small blocks, and the last one lives on: the heap cannot shrink from its end.
    std::vector<std::string> blocks(20'000, std::string(1'000, 'x'));
    const std::string last(1'000, 'x');
    blocks.clear();
    blocks.shrink_to_fit();
    ReturnFreeMemory();
    if constexpr (test::kMemoryIsMeasurable) {
      EXPECT_LT(test::ProcessBytes("VmRSS"), before + 2'000'000);
    }
  }
}

}  // namespace
}  // namespace mdsa
