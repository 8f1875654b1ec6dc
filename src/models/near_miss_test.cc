#include "models/near_miss.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace mdsa {
namespace {

constexpr std::array<std::string_view, 4> kKnown = {"id", "max_models", "max_memory", "pin"};

TEST(NearMissTest, TwoEditsAtMost) {
  EXPECT_EQ(NearMiss("max_modells", kKnown), "max_models");
  EXPECT_EQ(NearMiss("maxmodel", kKnown), "max_models");
  EXPECT_EQ(NearMiss("mx_memori", kKnown), "max_memory");
  EXPECT_EQ(NearMiss("Id", kKnown), "id");
  EXPECT_EQ(NearMiss("pinned", kKnown), std::nullopt);
  EXPECT_EQ(NearMiss("model", kKnown), std::nullopt);
}

TEST(NearMissTest, TheNearestCounts) {
  EXPECT_EQ(NearMiss("pi", kKnown), "pin");
  EXPECT_EQ(NearMiss("max_memoly", kKnown), "max_memory");
}

TEST(NearMissTest, ShortAndLongNamesAreLikeNothing) {
  EXPECT_EQ(NearMiss("", kKnown), std::nullopt);
  EXPECT_EQ(NearMiss("xy", kKnown), std::nullopt);
  EXPECT_EQ(NearMiss(std::string(1 << 20, 'i'), kKnown), std::nullopt);
}

TEST(NearMissTest, Suggestion) {
  EXPECT_EQ(Suggestion("pim", kKnown), "; did you mean 'pin'?");
  EXPECT_EQ(Suggestion("other", kKnown), "; known are id, max_models, max_memory, pin");
}

}  // namespace
}  // namespace mdsa
