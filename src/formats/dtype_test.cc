#include "formats/dtype.h"

#include <gtest/gtest.h>

#include <limits>

namespace mdsa {
namespace {

TEST(DTypeTest, NamesAreTheSpellingsOfCheckpoints) {
  EXPECT_EQ(DTypeName(DType::kF64), "F64");
  EXPECT_EQ(DTypeName(DType::kBF16), "BF16");
  EXPECT_EQ(DTypeName(DType::kF8E4M3), "F8_E4M3");
  EXPECT_EQ(DTypeName(DType::kBool), "BOOL");
  EXPECT_EQ(DTypeName(DType::kQ4_1), "Q4_1");
  EXPECT_EQ(DTypeName(DType::kQ6K), "Q6_K");
}

TEST(DTypeTest, ByteSizeCountsWholeBlocks) {
  EXPECT_EQ(ByteSize(DType::kF32, 0), 0);
  EXPECT_EQ(ByteSize(DType::kF32, 3), 12);
  EXPECT_EQ(ByteSize(DType::kQ4_0, 64), 36);
  EXPECT_EQ(ByteSize(DType::kQ8_0, 32), 34);
  EXPECT_EQ(ByteSize(DType::kQ4K, 512), 288);
  EXPECT_EQ(ByteSize(DType::kQ4_0, 33), std::nullopt);
  EXPECT_EQ(ByteSize(DType::kQ6K, 128), std::nullopt);
}

TEST(DTypeTest, ByteSizeRefusesOverflowAndNegativeCounts) {
  EXPECT_EQ(ByteSize(DType::kF64, std::numeric_limits<std::int64_t>::max()), std::nullopt);
  EXPECT_EQ(ByteSize(DType::kU8, -1), std::nullopt);
}

TEST(DTypeTest, OnlyNumbersForRealValuesAreFloat) {
  EXPECT_TRUE(TraitsOf(DType::kF8E5M2).is_float);
  EXPECT_TRUE(TraitsOf(DType::kQ5K).is_float);
  EXPECT_FALSE(TraitsOf(DType::kI64).is_float);
  EXPECT_FALSE(TraitsOf(DType::kBool).is_float);
}

}  // namespace
}  // namespace mdsa
