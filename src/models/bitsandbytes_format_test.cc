#include "models/bitsandbytes_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace mdsa {
namespace {

using testing::ElementsAre;

std::vector<std::string> Names(const std::vector<QuantizedPart>& parts) {
  std::vector<std::string> names;
  for (const QuantizedPart& part : parts) names.push_back(part.entry.name);
  return names;
}

// As written by bitsandbytes 0.50.2.
TEST(BitsAndBytesFormatTest, QuantStateIsPythonsJson) {
  const std::array<std::int64_t, 2> shape = {2, 64};
  EXPECT_EQ(Nf4QuantState(DType::kF32, shape, 1.05908203125f),
            R"({"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [2, 64], )"
            R"("nested_blocksize": 256, "nested_dtype": "float32", )"
            R"("nested_offset": 1.05908203125})");
}

TEST(BitsAndBytesFormatTest, OffsetsAreSpelledAsPythonDoes) {
  const std::array<std::int64_t, 1> shape = {1};
  const auto offset = [&](float value) {
    const std::string state = Nf4QuantState(DType::kBF16, shape, value);
    return state.substr(state.rfind(' ') + 1);
  };
  EXPECT_EQ(offset(0.0f), "0.0}");
  EXPECT_EQ(offset(3.0f), "3.0}");
  EXPECT_EQ(offset(0.05f), "0.05000000074505806}");
  EXPECT_EQ(offset(1e-5f), "9.999999747378752e-06}");
  EXPECT_EQ(offset(1e20f), "1.0000000200408773e+20}");
}

TEST(BitsAndBytesFormatTest, PartsOfAnOddNf4Weight) {
  const auto parts = PartsOfNf4("a.weight", 129, {.packed = {}, .quant_state = "{}"});
  EXPECT_THAT(Names(parts), ElementsAre("a.weight", "a.weight.absmax", "a.weight.nested_absmax",
                                        "a.weight.nested_quant_map", "a.weight.quant_map",
                                        "a.weight.quant_state.bitsandbytes__nf4"));
  EXPECT_THAT(parts[0].entry.shape, ElementsAre(65, 1));
  EXPECT_THAT(parts[1].entry.shape, ElementsAre(3));
  EXPECT_THAT(parts[2].entry.shape, ElementsAre(1));
  EXPECT_EQ(parts[3].bytes.size(), 1024u);
  EXPECT_EQ(parts[4].bytes.size(), 64u);
  EXPECT_EQ(parts[5].bytes.size(), 2u);
}

TEST(BitsAndBytesFormatTest, PartsOfAnInt8Weight) {
  const auto parts = PartsOfInt8("m.fc.weight", 3, 5, {}, {});
  EXPECT_THAT(Names(parts), ElementsAre("m.fc.weight", "m.fc.SCB", "m.fc.weight_format"));
  EXPECT_THAT(parts[0].entry.shape, ElementsAre(3, 5));
  EXPECT_EQ(parts[0].entry.dtype, DType::kI8);
  EXPECT_THAT(parts[1].entry.shape, ElementsAre(3));
  EXPECT_THAT(parts[2].entry.shape, ElementsAre());
  EXPECT_EQ(parts[2].bytes.size(), 1u);
}

TEST(BitsAndBytesFormatTest, ConfigSaysWhichOfTheTwo) {
  EXPECT_TRUE(BitsAndBytesConfig(QuantizationType::kInt4)["load_in_4bit"].get<bool>());
  EXPECT_FALSE(BitsAndBytesConfig(QuantizationType::kInt8)["load_in_4bit"].get<bool>());
  EXPECT_TRUE(BitsAndBytesConfig(QuantizationType::kInt8)["load_in_8bit"].get<bool>());
}

}  // namespace
}  // namespace mdsa
