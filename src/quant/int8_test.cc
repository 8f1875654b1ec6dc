#include "quant/int8.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace mdsa::quant {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Row {
  std::vector<std::int8_t> codes;
  float scale;
};

Row Encode(const std::vector<float>& values) {
  Row row{std::vector<std::int8_t>(values.size()), 0.0f};
  row.scale = Int8EncodeRowReference(values, row.codes);
  return row;
}

TEST(Int8Test, EncodesTheWorkedExample) {
  for (int r = 0; r < 3; ++r) {
    std::vector<float> values(8);
    for (int i = 0; i < 8; ++i) {
      values[i] = static_cast<float>((37 * i % 101 - 50) * (r + 1)) / 64.0f;
    }
    const Row row = Encode(values);
    EXPECT_THAT(row.codes, ElementsAre(-127, -33, 61, -102, -8, 86, -76, 18));
    EXPECT_EQ(row.scale, 0.78125f * static_cast<float>(r + 1));
  }
}

TEST(Int8Test, RoundsHalvesToEven) {
  EXPECT_THAT(Encode({127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f}).codes,
              ElementsAre(127, 0, 2, 2, 0, -2));
}

TEST(Int8Test, RoundsToHalfPrecisionFirst) {
  // 2049 is no fp16 number: it becomes 2048, and the scale with it.
  const Row row = Encode({2049.0f, 1024.0f});
  EXPECT_EQ(row.scale, 2048.0f);
  EXPECT_THAT(row.codes, ElementsAre(127, 64));
}

// 127 / 1.01171875 in one rounding would give 64.
TEST(Int8Test, MultipliesByTheRoundedReciprocalTimes127) {
  EXPECT_THAT(Encode({1.01171875f, 0.505859375f}).codes, ElementsAre(127, 63));
}

TEST(Int8Test, ZeroRowHasScaleZero) {
  const Row row = Encode({0.0f, -0.0f});
  EXPECT_EQ(row.scale, 0.0f);
  EXPECT_THAT(row.codes, Each(0));
}

TEST(Int8Test, ValuesBeyondHalfPrecisionMakeTheRowInfinite) {
  const Row row = Encode({70000.0f, 1.0f, -2.0f});
  EXPECT_EQ(row.scale, kInfinity);
  EXPECT_THAT(row.codes, Each(0));
}

TEST(Int8Test, NanMakesTheRowNan) {
  const Row row = Encode({1.0f, -std::numeric_limits<float>::quiet_NaN(), 70000.0f});
  EXPECT_EQ(std::bit_cast<std::uint32_t>(row.scale), 0x7fc00000u);
  EXPECT_THAT(row.codes, Each(0));
}

TEST(Int8Test, DecodesWithTwoRoundings) {
  const std::vector<std::int8_t> codes = {-127, 0, 1, 61};
  std::vector<float> out(4);
  Int8DecodeRowReference(codes, 0.78125f, out);
  EXPECT_THAT(out, ElementsAre(-0.78125f, 0.0f, 0.78125f * kInt8Inverse,
                               (61.0f * 0.78125f) * kInt8Inverse));
}

}  // namespace
}  // namespace mdsa::quant
