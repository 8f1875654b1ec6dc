#include "base/checked_math.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace mdsa {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();

TEST(CheckedMathTest, AddAtTheEdges) {
  EXPECT_EQ(CheckedAdd(kMax, std::int64_t{0}), kMax);
  EXPECT_EQ(CheckedAdd(kMax - 1, std::int64_t{1}), kMax);
  EXPECT_EQ(CheckedAdd(kMax, std::int64_t{1}), std::nullopt);
  EXPECT_EQ(CheckedAdd(kMin, std::int64_t{-1}), std::nullopt);
  EXPECT_EQ(CheckedAdd<std::uint64_t>(UINT64_MAX, 1), std::nullopt);
  EXPECT_EQ(CheckedAdd<std::uint64_t>(UINT64_MAX, 0), UINT64_MAX);
}

TEST(CheckedMathTest, MulAtTheEdges) {
  EXPECT_EQ(CheckedMul(kMax, std::int64_t{1}), kMax);
  EXPECT_EQ(CheckedMul(kMax, std::int64_t{2}), std::nullopt);
  EXPECT_EQ(CheckedMul(kMin, std::int64_t{-1}), std::nullopt);
  EXPECT_EQ(CheckedMul(kMax, std::int64_t{0}), 0);
  EXPECT_EQ(CheckedMul<std::uint64_t>(std::uint64_t{1} << 32, std::uint64_t{1} << 32),
            std::nullopt);
}

TEST(CheckedMathTest, ProductOfNoDimensionsIsOne) { EXPECT_EQ(CheckedProduct({}), 1); }

TEST(CheckedMathTest, ProductOfAShape) {
  EXPECT_EQ(CheckedProduct(std::vector<std::int64_t>{2, 3, 4}), 24);
  EXPECT_EQ(CheckedProduct(std::vector<std::int64_t>{2, 0, 4}), 0);
}

TEST(CheckedMathTest, ProductRefusesOverflowAndNegativeDimensions) {
  EXPECT_EQ(CheckedProduct(std::vector<std::int64_t>{kMax, 2}), std::nullopt);
  EXPECT_EQ(CheckedProduct(std::vector<std::int64_t>{-1}), std::nullopt);
  EXPECT_EQ(CheckedProduct(std::vector<std::int64_t>{0, -1}), std::nullopt);
  // A zero that comes after the overflow does not hide it.
  EXPECT_EQ(CheckedProduct(std::vector<std::int64_t>{kMax, 2, 0}), std::nullopt);
}

TEST(CheckedMathTest, CeilDivAndRoundUp) {
  EXPECT_EQ(CeilDiv(0, 64), 0);
  EXPECT_EQ(CeilDiv(1, 64), 1);
  EXPECT_EQ(CeilDiv(64, 64), 1);
  EXPECT_EQ(CeilDiv(65, 64), 2);
  EXPECT_EQ(CeilDiv(kMax, 2), kMax / 2 + 1);
  EXPECT_EQ(RoundUp(65, 64), 128);
  EXPECT_EQ(RoundUp(128, 64), 128);
}

}  // namespace
}  // namespace mdsa
