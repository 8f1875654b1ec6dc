#include "quant/nf4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace mdsa::quant {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Encoded {
  std::vector<std::uint8_t> packed;
  std::vector<float> absmax;
};

Encoded Encode(const std::vector<float>& values) {
  const auto n = static_cast<std::int64_t>(values.size());
  Encoded encoded{std::vector<std::uint8_t>(Nf4PackedBytes(n)), std::vector<float>(Nf4Blocks(n))};
  Nf4EncodeReference(values, encoded.packed, encoded.absmax);
  return encoded;
}

std::string Hex(const std::vector<std::uint8_t>& bytes) {
  std::string hex;
  for (std::uint8_t byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

TEST(Nf4Test, EncodesTheWorkedExample) {
  std::vector<float> values(128);
  for (int i = 0; i < 128; ++i) {
    values[i] = static_cast<float>((37 * i % 101 - 50) * (i + 1)) / 4096.0f;
  }
  const Encoded encoded = Encode(values);
  EXPECT_EQ(Hex(encoded.packed),
            "7776786796857957a58b6946a47b59d5a26c38d4a15b27d39e4b15d17e2af4c0"
            "6b38d4915b27c38d4a16c27d39e4b16d28e3a04c16d29e3b05d17e2af3c05e18");
  EXPECT_THAT(encoded.absmax, ElementsAre(0.729736328125f, 1.388427734375f));
}

TEST(Nf4Test, BoundsAreTheMidpointsOfTheTable) {
  for (std::size_t i = 0; i < kNf4BoundBits.size(); ++i) {
    EXPECT_EQ(kNf4BoundBits[i],
              std::bit_cast<std::uint32_t>((kNf4Table[i] + kNf4Table[i + 1]) / 2.0f));
  }
}

TEST(Nf4Test, AValueOnABoundTakesTheLowerCode) {
  for (std::size_t i = 0; i < kNf4BoundBits.size(); ++i) {
    std::vector<float> values(64, 0.0f);
    values[0] = 1.0f;  // makes the scale one
    values[1] = std::bit_cast<float>(kNf4BoundBits[i]);
    values[2] = std::nextafter(values[1], 2.0f);
    const Encoded encoded = Encode(values);
    EXPECT_EQ(encoded.packed[0] & 15, i);
    EXPECT_EQ(encoded.packed[1] >> 4, i + 1);
  }
}

TEST(Nf4Test, OddCountsArePaddedWithTheCodeOfZero) {
  const Encoded encoded = Encode({-2.0f});
  EXPECT_THAT(encoded.packed, ElementsAre(0x07));
  EXPECT_THAT(encoded.absmax, ElementsAre(2.0f));
}

TEST(Nf4Test, NothingEncodesToNothing) {
  const Encoded encoded = Encode({});
  EXPECT_TRUE(encoded.packed.empty());
  EXPECT_TRUE(encoded.absmax.empty());
}

TEST(Nf4Test, AFullBlockOfZerosHasScaleZeroAndAPartialOneTheSmallestScale) {
  const Encoded encoded = Encode(std::vector<float>(66, 0.0f));
  EXPECT_THAT(encoded.packed, Each(0x77));
  EXPECT_THAT(encoded.absmax, ElementsAre(0.0f, 1e-38f));
}

TEST(Nf4Test, DenormalScalesAreStoredButNotDividedBy) {
  const Encoded full = Encode(std::vector<float>(64, 1e-40f));
  EXPECT_THAT(full.packed, Each(0x77));
  EXPECT_THAT(full.absmax, ElementsAre(1e-40f));
  const Encoded partial = Encode({1e-40f, -1e-40f, 5e-39f});
  EXPECT_THAT(partial.packed, ElementsAre(0x77, 0xc7));
  EXPECT_THAT(partial.absmax, ElementsAre(1e-38f));
}

TEST(Nf4Test, ANanSpoilsItsBlockOnly) {
  std::vector<float> values(128, 0.5f);
  values[5] = -kNan;
  const Encoded encoded = Encode(values);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(encoded.absmax[0]), 0x7fc00000u);
  EXPECT_EQ(encoded.absmax[1], 0.5f);
  EXPECT_EQ(encoded.packed[0], 0xff);
  EXPECT_EQ(encoded.packed[31], 0xff);
  EXPECT_EQ(encoded.packed[32], 0xff);  // 0.5 / 0.5
}

TEST(Nf4Test, InfinitiesTakeTheHighestCodeAndHideTheRest) {
  std::vector<float> full(64, 0.5f);
  full[0] = kInfinity;
  full[3] = -kInfinity;
  EXPECT_EQ(Encode(full).packed[0], 0xf7);
  EXPECT_EQ(Encode(full).packed[1], 0x7f);
  EXPECT_EQ(Encode(full).absmax[0], kInfinity);
  EXPECT_THAT(Encode({kInfinity, -kInfinity, 1.0f, -0.0f}).packed, ElementsAre(0xff, 0x77));
}

// The reciprocal of a full block and the division of a partial one round differently; here is a
// value that shows it.
TEST(Nf4Test, PartialBlocksAreDividedAndFullBlocksMultiplied) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> scales(1.0f, 2.0f);
  int differences = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    const float scale = scales(random);
    const float value = scale * std::bit_cast<float>(kNf4BoundBits[trial % 15]);
    std::vector<float> full(64, 0.0f);
    full[0] = scale;
    full[1] = value;
    const int divided = Encode({scale, value}).packed[0] & 15;
    const int multiplied = Encode(full).packed[0] & 15;
    EXPECT_EQ(divided,
              trial % 15 + (value / scale > std::bit_cast<float>(kNf4BoundBits[trial % 15])));
    differences += divided != multiplied;
  }
  EXPECT_GT(differences, 100);
}

TEST(Nf4Test, DecodesAnyRange) {
  std::vector<float> values(131);
  for (int i = 0; i < 131; ++i) values[i] = std::sin(static_cast<float>(i));
  const Encoded encoded = Encode(values);
  const Nf4View view{.count = 131, .packed = encoded.packed, .absmax = encoded.absmax};
  std::vector<float> all(131);
  Nf4DecodeReference(view, 0, all);
  for (int i = 0; i < 131; ++i) {
    const int code = i % 2 == 0 ? encoded.packed[i / 2] >> 4 : encoded.packed[i / 2] & 15;
    EXPECT_EQ(all[i], kNf4Table[code] * encoded.absmax[i / 64]);
    EXPECT_NEAR(all[i], values[i], 0.16f * encoded.absmax[i / 64]);  // half the widest gap
  }
  std::vector<float> part(9);
  Nf4DecodeReference(view, 61, part);
  EXPECT_EQ(part, std::vector<float>(all.begin() + 61, all.begin() + 70));
}

}  // namespace
}  // namespace mdsa::quant
