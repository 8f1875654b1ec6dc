#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "quant/nf4.h"

namespace mdsa::quant {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Nested {
  std::vector<std::uint8_t> codes;
  std::vector<float> absmax;
  float offset;
};

Nested Nest(const std::vector<float>& absmax) {
  Nested nested{std::vector<std::uint8_t>(absmax.size()),
                std::vector<float>((absmax.size() + 255) / 256), 0.0f};
  nested.offset = Nf4NestReference(absmax, nested.codes, nested.absmax);
  return nested;
}

TEST(Nf4NestTest, DynamicMapIsSortedAndSymmetric) {
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a of the little-endian bytes
  for (float value : kDynamicMap) {
    for (int byte = 0; byte < 4; ++byte) {
      hash = (hash ^ (std::bit_cast<std::uint32_t>(value) >> (8 * byte) & 255)) * 1099511628211u;
    }
  }
  EXPECT_EQ(hash, 0xd677f22a96665bc4u);
  EXPECT_EQ(kDynamicMap[127], 0.0f);
  EXPECT_EQ(kDynamicMap[255], 1.0f);
  for (int i = 1; i < 256; ++i) EXPECT_LT(kDynamicMap[i - 1], kDynamicMap[i]);
}

TEST(Nf4NestTest, NestsAndRestoresTheScalesOfTheWorkedExample) {
  const Nested nested = Nest({0.729736328125f, 1.388427734375f});
  EXPECT_THAT(nested.codes, ElementsAre(0, 255));
  EXPECT_THAT(nested.absmax, ElementsAre(0.329345703125f));
  EXPECT_EQ(nested.offset, 1.05908203125f);
  const Nf4View view{.count = 128,
                     .absmax_codes = nested.codes,
                     .nested_absmax = nested.absmax,
                     .offset = nested.offset};
  EXPECT_EQ(std::bit_cast<std::uint32_t>(Nf4BlockScale(view, 0)), 0x3f3b67c4u);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(Nf4BlockScale(view, 1)), 0x3fb1b800u);
}

// Worked example of 64 blocks, every number of it from bitsandbytes.
TEST(Nf4NestTest, EncodesAndNestsAWholeMatrix) {
  std::vector<float> values(4096);
  for (std::int64_t i = 0; i < 4096; ++i) {
    const std::int64_t noise = (i * 1103515245 + 12345) / 256 % 65536 - 32768;
    values[i] = static_cast<float>(noise) / 65536.0f * static_cast<float>(1 + i / 64 % 7);
  }
  std::vector<std::uint8_t> packed(2048);
  std::vector<float> absmax(64);
  Nf4EncodeReference(values, packed, absmax);
  std::uint64_t hash = 14695981039346656037u;
  for (std::uint8_t byte : packed) hash = (hash ^ byte) * 1099511628211u;
  EXPECT_EQ(hash, 0x81825ce1a7823837u);
  const Nested nested = Nest(absmax);
  EXPECT_EQ(nested.offset, 1.9601914882659912f);
  EXPECT_THAT(nested.absmax, ElementsAre(1.5339338779449463f));
  EXPECT_THAT(
      nested.codes,
      ElementsAre(0x03, 0x1a, 0x31, 0xa2, 0xd0, 0xe6, 0xfd, 0x03, 0x19, 0x30, 0x9f, 0xcf, 0xe7,
                  0xfe, 0x03, 0x19, 0x31, 0xa4, 0xd0, 0xe7, 0xfe, 0x03, 0x1a, 0x30, 0x9a, 0xcf,
                  0xe6, 0xfd, 0x03, 0x1a, 0x31, 0x64, 0xd0, 0xe8, 0xff, 0x03, 0x1a, 0x31, 0xa0,
                  0xcf, 0xe6, 0xfd, 0x03, 0x1a, 0x31, 0xa2, 0xd0, 0xe4, 0xff, 0x03, 0x1a, 0x31,
                  0xa1, 0xcf, 0xe6, 0xfd, 0x03, 0x19, 0x30, 0xa0, 0xd0, 0xe7, 0xfe, 0x02));
}

TEST(Nf4NestTest, EqualScalesHaveNoDifferences) {
  const Nested nested = Nest(std::vector<float>(300, 0.25f));
  EXPECT_THAT(nested.codes, Each(0));
  EXPECT_THAT(nested.absmax, ElementsAre(0.0f, 0.0f));
  EXPECT_EQ(nested.offset, 0.25f);
}

// The codes around zero cannot be reached: the look-up has no step there.
TEST(Nf4NestTest, ZeroDifferenceHasCode131) {
  EXPECT_THAT(Nest({1.0f, 2.0f, 3.0f}).codes, ElementsAre(0, 131, 255));
}

TEST(Nf4NestTest, NanAndInfinityReachEveryCodeThroughTheOffset) {
  const Nested nan = Nest({kNan, 1.0f, 2.0f});
  EXPECT_TRUE(std::isnan(nan.offset));
  EXPECT_THAT(nan.codes, Each(0));
  EXPECT_THAT(nan.absmax, ElementsAre(0.0f));
  const Nested infinite = Nest({kInfinity, 1.0f, 2.0f});
  EXPECT_EQ(infinite.offset, kInfinity);
  EXPECT_THAT(infinite.codes, Each(0));
  EXPECT_THAT(infinite.absmax, ElementsAre(kInfinity));
}

TEST(Nf4NestTest, NothingHasOffsetZero) { EXPECT_EQ(Nest({}).offset, 0.0f); }

// Means of 1 / (i + 1) over counts that end in each part of the sum's order; bits from PyTorch.
TEST(Nf4NestTest, OffsetIsTheMeanInPyTorchsOrder) {
  struct Case {
    std::int64_t count;
    std::uint32_t bits;
  };
  constexpr Case kCases[] = {{1, 0x3f800000},     {3, 0x3f1c71c7},     {7, 0x3ebda623},
                             {8, 0x3eadf160},     {9, 0x3ea0efd7},     {31, 0x3e05076d},
                             {32, 0x3e01df31},    {33, 0x3dfdc0d7},    {100, 0x3d54799a},
                             {511, 0x3c5a7e28},   {512, 0x3c5a20e8},   {513, 0x3c59c3fe},
                             {1000, 0x3bf548ae},  {4096, 0x3b0e5258},  {5000, 0x3aee6838},
                             {16384, 0x3a24803b}, {70001, 0x392fc2d9}, {300001, 0x38386440}};
  for (const auto [count, bits] : kCases) {
    std::vector<float> absmax(count);
    for (std::int64_t i = 0; i < count; ++i) absmax[i] = 1.0f / static_cast<float>(i + 1);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(Nest(absmax).offset), bits) << count;
  }
}

}  // namespace
}  // namespace mdsa::quant
