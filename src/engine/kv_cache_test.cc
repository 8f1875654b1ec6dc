#include "engine/kv_cache.h"

#include <gtest/gtest.h>

#include "engine/cpu_ops.h"

namespace mdsa::engine {
namespace {

class KvCacheTest : public ::testing::Test {
 protected:
  std::unique_ptr<const Ops> ops_ = MakeCpuOps(std::make_shared<ThreadPool>(1));
};

TEST_F(KvCacheTest, GrowsByDoublingUpToTheMaximumAndKeepsWhatItHolds) {
  constexpr std::int64_t kHeads = 2, kDim = 3;
  KvCache cache(*ops_, 2, kHeads, kDim, 1000);
  std::vector<std::int64_t> capacities;
  for (std::int64_t t = 0; t < 1000; ++t) {
    ASSERT_TRUE(cache.Reserve(t + 1));
    if (capacities.empty() || capacities.back() != cache.capacity()) {
      capacities.push_back(cache.capacity());
    }
    for (std::int64_t layer = 0; layer < 2; ++layer) {
      for (std::int64_t h = 0; h < kHeads; ++h) {
        const std::int64_t at = (h * cache.capacity() + t) * kDim;
        cache.keys(layer)[at] = static_cast<float>(t * 10 + h * 2 + layer);
        cache.values(layer)[at] = -cache.keys(layer)[at];
      }
    }
    cache.Advance(1);
  }
  EXPECT_EQ(capacities, (std::vector<std::int64_t>{128, 256, 512, 1000}));
  for (std::int64_t layer = 0; layer < 2; ++layer) {
    for (std::int64_t h = 0; h < kHeads; ++h) {
      for (std::int64_t t = 0; t < 1000; ++t) {
        const std::int64_t at = (h * cache.capacity() + t) * kDim;
        ASSERT_EQ(cache.keys(layer)[at], static_cast<float>(t * 10 + h * 2 + layer));
        ASSERT_EQ(cache.values(layer)[at], -cache.keys(layer)[at]);
      }
    }
  }
}

TEST_F(KvCacheTest, RefusesMoreThanTheMaximum) {
  KvCache cache(*ops_, 1, 1, 1, 100);
  ASSERT_TRUE(cache.Reserve(100));
  EXPECT_EQ(cache.capacity(), 100);
  const Status status = cache.Reserve(101);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kResourceExhausted);
}

TEST_F(KvCacheTest, ARefusedAllocationIsAnErrorAndChangesNothing) {
  KvCache cache(*ops_, 1, 1 << 20, 1 << 20, std::int64_t{1} << 40);
  const Status status = cache.Reserve(std::int64_t{1} << 16);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(cache.capacity(), 0);
}

}  // namespace
}  // namespace mdsa::engine
