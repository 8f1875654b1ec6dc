#include "base/float16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace mdsa {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Float16 Half(std::uint32_t bits) { return {static_cast<std::uint16_t>(bits)}; }
BFloat16 Brain(std::uint32_t bits) { return {static_cast<std::uint16_t>(bits)}; }

// The definition of IEEE binary16, written with real arithmetic instead of bit operations.
float HalfByDefinition(std::uint32_t bits) {
  const float sign = (bits & 0x8000u) != 0 ? -1.0f : 1.0f;
  const int exponent = static_cast<int>((bits >> 10) & 0x1fu);
  const auto mantissa = static_cast<float>(bits & 0x3ffu);
  if (exponent == 31) return mantissa == 0 ? sign * kInfinity : std::nanf("");
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024.0f + mantissa, exponent - 25);
}

TEST(Float16Test, EveryHalfHasItsValue) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float value = ToFloat(Half(bits));
    const float expected = HalfByDefinition(bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
    } else {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(value), std::bit_cast<std::uint32_t>(expected))
          << bits;
    }
  }
}

TEST(Float16Test, EveryHalfComesBack) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const bool is_nan = (bits & 0x7c00u) == 0x7c00u && (bits & 0x3ffu) != 0;
    const std::uint32_t expected = is_nan ? bits | 0x200u : bits;
    ASSERT_EQ(ToFloat16(ToFloat(Half(bits))).bits, expected) << bits;
  }
}

// Between every two neighbours: the midpoint goes to the even one, and one ulp of float beside the
// midpoint decides.
TEST(Float16Test, EveryRoundingBoundary) {
  for (std::uint32_t sign : {0x0000u, 0x8000u}) {
    for (std::uint32_t bits = 0; bits < 0x7bff; ++bits) {
      const float low = ToFloat(Half(sign | bits));
      const float high = ToFloat(Half(sign | (bits + 1)));
      const float middle = (low + high) / 2;
      const std::uint32_t even = bits + (bits & 1u);
      ASSERT_EQ(ToFloat16(middle).bits, sign | even) << bits;
      ASSERT_EQ(ToFloat16(std::nextafter(middle, low)).bits, sign | bits) << bits;
      ASSERT_EQ(ToFloat16(std::nextafter(middle, high)).bits, sign | (bits + 1)) << bits;
    }
  }
}

TEST(Float16Test, OverflowGoesToInfinity) {
  EXPECT_EQ(ToFloat16(65504.0f).bits, 0x7bff);
  EXPECT_EQ(ToFloat16(std::nextafter(65520.0f, 0.0f)).bits, 0x7bff);
  EXPECT_EQ(ToFloat16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(ToFloat16(-1e30f).bits, 0xfc00);
  EXPECT_EQ(ToFloat16(kInfinity).bits, 0x7c00);
}

TEST(Float16Test, TinyNumbersGoToSignedZero) {
  EXPECT_EQ(ToFloat16(std::numeric_limits<float>::denorm_min()).bits, 0x0000);
  EXPECT_EQ(ToFloat16(-0x1p-25f).bits, 0x8000);
  EXPECT_EQ(ToFloat16(std::nextafter(0x1p-25f, 1.0f)).bits, 0x0001);
}

TEST(Float16Test, NanWithOnlyLowBitsStaysNan) {
  EXPECT_EQ(ToFloat16(std::bit_cast<float>(0x7f800001u)).bits, 0x7e00);
}

TEST(BFloat16Test, EveryValueComesBack) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float value = ToFloat(Brain(bits));
    ASSERT_EQ(std::bit_cast<std::uint32_t>(value), bits << 16);
    const bool is_nan = (bits & 0x7f80u) == 0x7f80u && (bits & 0x7fu) != 0;
    ASSERT_EQ(ToBFloat16(value).bits, is_nan ? bits | 0x40u : bits) << bits;
  }
}

TEST(BFloat16Test, EveryRoundingBoundary) {
  for (std::uint32_t sign : {0x0000u, 0x8000u}) {
    for (std::uint32_t bits = 0; bits < 0x7f80; ++bits) {
      const std::uint32_t middle = ((sign | bits) << 16) | 0x8000u;
      const std::uint32_t even = bits + (bits & 1u);
      ASSERT_EQ(ToBFloat16(std::bit_cast<float>(middle)).bits, sign | even) << bits;
      ASSERT_EQ(ToBFloat16(std::bit_cast<float>(middle - 1)).bits, sign | bits) << bits;
      ASSERT_EQ(ToBFloat16(std::bit_cast<float>(middle + 1)).bits, sign | (bits + 1)) << bits;
    }
  }
}

TEST(BFloat16Test, LargestFloatOverflowsToInfinity) {
  EXPECT_EQ(ToBFloat16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(ToBFloat16(std::bit_cast<float>(0x7f800001u)).bits, 0x7fc0);
}

}  // namespace
}  // namespace mdsa
