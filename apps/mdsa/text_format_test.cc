#include "text_format.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

namespace mdsa::cli {
namespace {

TEST(HumanBytesTest, ThreeDigitsInDecimalUnits) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(999), "999 B");
  EXPECT_EQ(HumanBytes(1'000), "1.00 kB");
  EXPECT_EQ(HumanBytes(98'362'432), "98.4 MB");
  EXPECT_EQ(HumanBytes(999'499'999), "999 MB");
  EXPECT_EQ(HumanBytes(999'500'000), "1.00 GB");
  EXPECT_EQ(HumanBytes(9'994'000'000), "9.99 GB");
  EXPECT_EQ(HumanBytes(9'996'000'000), "10.0 GB");
  EXPECT_EQ(HumanBytes(99'960'000'000), "100 GB");
  EXPECT_EQ(HumanBytes(std::numeric_limits<std::uint64_t>::max()), "18446744 TB");
}

TEST(HumanCountTest, NamesMillionsAndBillions) {
  EXPECT_EQ(HumanCount(512), "512");
  EXPECT_EQ(HumanCount(134'515'008), "135 M");
  EXPECT_EQ(HumanCount(1'418'270'720), "1.42 B");
}

TEST(PrintableTest, MakesControlsVisibleAndKeepsTheRest) {
  EXPECT_EQ(Printable("a\tb\n\xc3\xa9\xe2\x82\xac"), "a\tb\n\xc3\xa9\xe2\x82\xac");
  EXPECT_EQ(Printable("\x1b[31m\r\x7f"), "\\x1b[31m\\x0d\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b!\xc2\xa0"), "\\x9b!\xc2\xa0");
  EXPECT_EQ(Printable("\xc2"), "\xc2");
  EXPECT_EQ(OneLine("a\nb\tc"), "a\\nb\\tc");
}

TEST(TableTest, AlignsByCodePoints) {
  EXPECT_EQ(Table({{"n\xc3\xa4me", "size"}, {"x", "1"}, {"long", "1234567"}}, {false, true}),
            "n\xc3\xa4me     size\nx           1\nlong  1234567\n");
  EXPECT_EQ(Table({{"a", ""}, {"bb", "c"}}, {false, false}), "a\nbb  c\n");
}

TEST(FloatArrayTest, ReadsBackAsTheSameFloats) {
  const std::vector<float> values = {0.1f, -1.0f / 3.0f, 1e-42f, 16777216.0f, 0.0f};
  const std::string text = FloatArray(values);
  EXPECT_EQ(text.substr(0, 5), "[0.1,");
  const auto parsed = nlohmann::json::parse(text);
  ASSERT_EQ(parsed.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(static_cast<float>(parsed[i].get<double>()), values[i]);
  }
}

TEST(FloatArrayTest, StaysJsonForWhatIsNoNumber) {
  const std::vector<float> values = {std::numeric_limits<float>::quiet_NaN(),
                                     std::numeric_limits<float>::infinity()};
  EXPECT_EQ(FloatArray(values), "[null,null]");
  EXPECT_EQ(FloatArray({}), "[]");
}

TEST(DumpJsonTest, RepairsIllFormedText) {
  const std::string text = DumpJson({{"a", "\xff"}});
  EXPECT_EQ(nlohmann::json::parse(text)["a"], "\xef\xbf\xbd");
}

}  // namespace
}  // namespace mdsa::cli
