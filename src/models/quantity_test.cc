#include "models/quantity.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace mdsa {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

TEST(QuantityTest, SplitsNumberAndUnit) {
  for (const char* text : {"6.5GB", "6.5 GB", " \t6.5\t GB "}) {
    const auto quantity = SplitQuantity(text);
    ASSERT_TRUE(quantity) << text;
    EXPECT_EQ(quantity->number, "6.5");
    EXPECT_EQ(quantity->unit, "GB");
  }
  EXPECT_EQ(SplitQuantity("10")->unit, "");
  EXPECT_EQ(SplitQuantity("1 G B")->unit, "G B");
  EXPECT_EQ(SplitQuantity("1e3")->unit, "e3");
  EXPECT_EQ(SplitQuantity("1.5.2")->unit, ".2");
}

TEST(QuantityTest, NoNumber) {
  for (const char* text : {"", " ", "GB", "-1", "+1", ".5", "5.", "5. GB", "NaN", "inf"}) {
    EXPECT_FALSE(SplitQuantity(text)) << text;
  }
}

TEST(QuantityTest, ScalesExactly) {
  EXPECT_EQ(ScaledNumber("6.5", 1'000'000'000), 6'500'000'000u);
  EXPECT_EQ(ScaledNumber("0.3", 10), 3u);
  EXPECT_EQ(ScaledNumber("0.3", 1024), 307u);
  EXPECT_EQ(ScaledNumber("007", 1), 7u);
  EXPECT_EQ(ScaledNumber("0.99", 1), 0u);
  // A double would make 9007199254740992 of it.
  EXPECT_EQ(ScaledNumber("9007199254.740993", 1'000'000), 9'007'199'254'740'993u);
  EXPECT_EQ(ScaledNumber("0." + std::string(1000, '9'), std::uint64_t{1} << 40),
            (std::uint64_t{1} << 40) - 1);
  EXPECT_EQ(ScaledNumber("0." + std::string(1000, '0') + "1", kMax), 0u);
}

TEST(QuantityTest, Overflow) {
  EXPECT_EQ(ScaledNumber("18446744073709551615", 1), kMax);
  EXPECT_EQ(ScaledNumber("18446744073709551615.9", 1), kMax);
  EXPECT_FALSE(ScaledNumber("18446744073709551616", 1));
  EXPECT_FALSE(ScaledNumber("18446744073709551615", 2));
  EXPECT_FALSE(ScaledNumber(std::string(1000, '9'), 1));
  EXPECT_FALSE(ScaledNumber("6148914691236517205.9", 3));
}

}  // namespace
}  // namespace mdsa
