#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <tuple>

#include "formats/test_support.h"

namespace mdsa {
namespace {

using test::AsBytes;
using test::ExpectError;
using test::GgufBuilder;
using test::Raw;

void ExpectBroken(std::string_view file, ErrorCode code,
                  std::initializer_list<std::string_view> parts) {
  ExpectError(ParseGguf(AsBytes(file)), code, parts);
}
void ExpectInvalid(const GgufBuilder& gguf, std::initializer_list<std::string_view> parts) {
  ExpectBroken(gguf.Build(), ErrorCode::kInvalidFormat, parts);
}

constexpr std::uint32_t kF32 = 0, kQ4_0 = 2, kArray = 9;

TEST(GgufTest, ReadsBothVersions) {
  for (std::uint32_t version : {2u, 3u}) {
    GgufBuilder gguf;
    gguf.version = version;
    gguf.String("general.architecture", "llama").F32Tensor("w", {3, 2});
    const std::string file = gguf.Build();
    const auto parsed = ParseGguf(AsBytes(file));
    ASSERT_TRUE(parsed) << parsed.error().ToString();
    EXPECT_EQ(parsed->version(), version);
    const GgufTensor* tensor = parsed->FindTensor("w");
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->shape, (std::vector<std::int64_t>{2, 3}));  // slowest first
    EXPECT_EQ(tensor->dtype, DType::kF32);
    EXPECT_EQ(tensor->bytes.size(), 24u);
    EXPECT_EQ(tensor->bytes[0], std::byte{0});
    EXPECT_EQ((tensor->bytes.data() - AsBytes(file).data()) % 32, 0);
    EXPECT_EQ(parsed->FindTensor("v"), nullptr);
  }
}

TEST(GgufTest, ReadsEveryScalarType) {
  GgufBuilder gguf;
  gguf.Entry("u8", 0, Raw<std::uint8_t>(200))
      .Entry("i8", 1, Raw<std::int8_t>(-5))
      .Entry("u16", 2, Raw<std::uint16_t>(60000))
      .Entry("i16", 3, Raw<std::int16_t>(-300))
      .Entry("u32", 4, Raw<std::uint32_t>(4000000000u))
      .Entry("i32", 5, Raw<std::int32_t>(-70000))
      .Entry("u64", 10, Raw<std::uint64_t>(1ull << 40))
      .Entry("i64", 11, Raw<std::int64_t>(-(1ll << 40)))
      .Entry("f32", 6, Raw(0.5f))
      .Entry("f64", 12, Raw(0.1))
      .Bool("yes", true)
      .String("text", "h\xc3\xa9");
  const std::string file = gguf.Build();
  const auto parsed = ParseGguf(AsBytes(file));
  ASSERT_TRUE(parsed) << parsed.error().ToString();
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  for (const auto& [key, value] : {std::pair<std::string_view, std::int64_t>{"u8", 200},
                                   {"i8", -5},
                                   {"u16", 60000},
                                   {"i16", -300},
                                   {"u32", 4000000000},
                                   {"i32", -70000},
                                   {"u64", 1ll << 40},
                                   {"i64", -(1ll << 40)}}) {
    EXPECT_EQ(*parsed->Integer(key, kMin, kMax), value) << key;
  }
  EXPECT_EQ(*parsed->Number("f32"), 0.5);
  EXPECT_EQ(*parsed->Number("f64"), 0.1);
  EXPECT_EQ(*parsed->Number("i8"), -5.0);
  EXPECT_EQ(*parsed->Bool("yes"), true);
  EXPECT_EQ(*parsed->String("text"), "h\xc3\xa9");
  EXPECT_EQ(*parsed->String("absent"), std::nullopt);
  EXPECT_TRUE(parsed->Has("u8"));
}

TEST(GgufTest, ReadsArrays) {
  GgufBuilder gguf;
  gguf.Strings("words", {"a", "", "ccc"})
      .Entry("floats", kArray,
             Raw<std::uint32_t>(6) + Raw<std::uint64_t>(2) + Raw(1.5f) + Raw(-2.0f))
      .Entry("ints", kArray, Raw<std::uint32_t>(5) + Raw<std::uint64_t>(1) + Raw<std::int32_t>(-7))
      .Entry("nested", kArray,
             Raw<std::uint32_t>(9) + Raw<std::uint64_t>(1) + Raw<std::uint32_t>(0) +
                 Raw<std::uint64_t>(2) + "xy")
      .Entry("empty", kArray, Raw<std::uint32_t>(0) + Raw<std::uint64_t>(0));
  const std::string file = gguf.Build();
  const auto parsed = ParseGguf(AsBytes(file));
  ASSERT_TRUE(parsed) << parsed.error().ToString();
  EXPECT_EQ(*parsed->Strings("words"), (std::vector<std::string_view>{"a", "", "ccc"}));
  EXPECT_EQ(*parsed->Floats("floats"), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(*parsed->Integers("ints"), (std::vector<std::int32_t>{-7}));
  EXPECT_EQ((*parsed->Floats("empty"))->size(), 0u);
  EXPECT_EQ(*parsed->Strings("absent"), std::nullopt);
  ExpectError(parsed->Strings("floats"), ErrorCode::kInvalidFormat,
              {"key 'floats'", "an array of strings"});
  ExpectError(parsed->Integer("ints", 0, 9), ErrorCode::kInvalidFormat,
              {"key 'ints'", "found an array"});
}

TEST(GgufTest, GettersRefuseOtherTypes) {
  GgufBuilder gguf;
  gguf.String("text", "x").U32("number", 7).Entry("big", 10, Raw<std::uint64_t>(UINT64_MAX));
  const std::string file = gguf.Build();
  const auto parsed = ParseGguf(AsBytes(file));
  ASSERT_TRUE(parsed) << parsed.error().ToString();
  ExpectError(parsed->Integer("text", 0, 9), ErrorCode::kInvalidFormat,
              {"key 'text'", "an integer"});
  ExpectError(parsed->String("number"), ErrorCode::kInvalidFormat, {"key 'number'", "a string"});
  ExpectError(parsed->Bool("number"), ErrorCode::kInvalidFormat, {"a boolean"});
  ExpectError(parsed->Number("text"), ErrorCode::kInvalidFormat, {"a number"});
  ExpectError(parsed->Integer("number", 0, 6), ErrorCode::kInvalidFormat, {"7 is outside 0..6"});
  ExpectError(parsed->Integer("big", 0, 6), ErrorCode::kInvalidFormat,
              {"18446744073709551615 is outside 0..6"});
}

TEST(GgufTest, UnsignedArrayElementsDoNotBecomeNegative) {
  const std::string file =
      GgufBuilder()
          .Entry("small", 9,
                 Raw<std::uint32_t>(4) + Raw<std::uint64_t>(1) + Raw<std::uint32_t>(INT32_MAX))
          .Entry("big", 9,
                 Raw<std::uint32_t>(4) + Raw<std::uint64_t>(1) + Raw<std::uint32_t>(1u << 31))
          .Build();
  const auto parsed = ParseGguf(AsBytes(file));
  ASSERT_TRUE(parsed) << parsed.error().ToString();
  EXPECT_EQ(*parsed->Integers("small"), (std::vector<std::int32_t>{INT32_MAX}));
  ExpectError(parsed->Integers("big"), ErrorCode::kInvalidFormat, {"key 'big'", "2147483647"});
}

TEST(GgufTest, ReadsEveryTensorType) {
  const std::tuple<std::uint32_t, DType, std::uint64_t, std::size_t> cases[] = {
      {0, DType::kF32, 32, 128},   {1, DType::kF16, 32, 64},    {2, DType::kQ4_0, 32, 18},
      {3, DType::kQ4_1, 32, 20},   {6, DType::kQ5_0, 32, 22},   {7, DType::kQ5_1, 32, 24},
      {8, DType::kQ8_0, 32, 34},   {12, DType::kQ4K, 256, 144}, {13, DType::kQ5K, 256, 176},
      {14, DType::kQ6K, 256, 210}, {24, DType::kI8, 32, 32},    {25, DType::kI16, 32, 64},
      {26, DType::kI32, 32, 128},  {27, DType::kI64, 32, 256},  {28, DType::kF64, 32, 256},
      {30, DType::kBF16, 32, 64}};
  for (const auto& [type, dtype, elements, bytes] : cases) {
    GgufBuilder gguf;
    gguf.data_bytes = 2 * bytes;
    gguf.Tensor("w", {elements, 2}, type, 0);
    const std::string file = gguf.Build();
    const auto parsed = ParseGguf(AsBytes(file));
    ASSERT_TRUE(parsed) << parsed.error().ToString();
    EXPECT_EQ(parsed->tensors()[0].dtype, dtype);
    EXPECT_EQ(parsed->tensors()[0].bytes.size(), 2 * bytes);
  }
}

TEST(GgufTest, HonoursItsAlignment) {
  GgufBuilder gguf;
  gguf.alignment = 128;
  gguf.U32("general.alignment", 128).Tensor("w", {2}, kF32, 128);
  gguf.data_bytes = 136;
  const std::string file = gguf.Build();
  const auto parsed = ParseGguf(AsBytes(file));
  ASSERT_TRUE(parsed) << parsed.error().ToString();
  EXPECT_EQ((parsed->tensors()[0].bytes.data() - AsBytes(file).data()) % 128, 0);
  EXPECT_EQ(parsed->tensors()[0].bytes[0], std::byte{128});
}

TEST(GgufTest, RejectsOtherFiles) {
  ExpectBroken("", ErrorCode::kInvalidFormat, {"not a GGUF file"});
  ExpectBroken("GGU", ErrorCode::kInvalidFormat, {"not a GGUF file"});
  ExpectBroken("GGML00000000", ErrorCode::kInvalidFormat, {"not a GGUF file"});
}

TEST(GgufTest, RejectsOtherVersions) {
  for (std::uint32_t version : {0u, 1u, 4u}) {
    GgufBuilder gguf;
    gguf.version = version;
    ExpectBroken(gguf.Build(), ErrorCode::kUnsupported,
                 {"GGUF version " + std::to_string(version), "2 and 3"});
  }
}

TEST(GgufTest, RejectsBigEndian) {
  for (std::uint32_t version : {0x02000000u, 0x03000000u}) {
    GgufBuilder gguf;
    gguf.version = version;
    ExpectBroken(gguf.Build(), ErrorCode::kUnsupported, {"big-endian"});
  }
}

TEST(GgufTest, RejectsEveryTruncation) {
  GgufBuilder gguf;
  gguf.Strings("words", {"a", "bb"}).U32("n", 1).F32Tensor("w", {4});
  const std::string file = gguf.Build();
  const std::size_t last = file.size() - 32 + 16;  // the 16 bytes of data, without their padding
  for (std::size_t size = 0; size < last; ++size) {
    EXPECT_FALSE(ParseGguf(AsBytes(std::string_view(file).substr(0, size)))) << size;
  }
  EXPECT_TRUE(ParseGguf(AsBytes(std::string_view(file).substr(0, last))));
}

TEST(GgufTest, RejectsCountsBeyondTheFile) {
  GgufBuilder tensors;
  tensors.extra_tensors = 1ull << 60;
  ExpectInvalid(tensors, {"claims 1152921504606846976 tensors"});
  GgufBuilder metadata;
  metadata.extra_metadata = UINT64_MAX;
  ExpectInvalid(metadata, {"18446744073709551615 metadata entries"});
}

TEST(GgufTest, RejectsStringsBeyondTheFile) {
  ExpectInvalid(GgufBuilder().Entry("k", 8, Raw<std::uint64_t>(UINT64_MAX) + "x"),
                {"key 'k'", "string of 18446744073709551615 bytes", "ends beyond the file"});
}

TEST(GgufTest, RejectsArraysBeyondTheFile) {
  ExpectInvalid(
      GgufBuilder().Entry("k", kArray, Raw<std::uint32_t>(0) + Raw<std::uint64_t>(1ull << 50)),
      {"key 'k'", "array of 1125899906842624 elements"});
  // The product overflows 64 bits.
  ExpectInvalid(
      GgufBuilder().Entry("k", kArray, Raw<std::uint32_t>(10) + Raw<std::uint64_t>(1ull << 61)),
      {"key 'k'", "array of 2305843009213693952 elements"});
  ExpectInvalid(
      GgufBuilder().Entry("k", kArray, Raw<std::uint32_t>(8) + Raw<std::uint64_t>(1ull << 61)),
      {"key 'k'", "ends beyond the file"});
}

TEST(GgufTest, RejectsDeepNesting) {
  std::string payload;
  for (int i = 0; i < 1000; ++i) payload += Raw<std::uint32_t>(9) + Raw<std::uint64_t>(1);
  ExpectInvalid(GgufBuilder().Entry("k", kArray, payload), {"key 'k'", "nested deeper than 8"});
}

TEST(GgufTest, RejectsUnknownValueTypes) {
  ExpectInvalid(GgufBuilder().Entry("k", 13, "xxxx"), {"key 'k'", "unknown value type 13"});
  ExpectInvalid(GgufBuilder().Entry("k", kArray, Raw<std::uint32_t>(99) + Raw<std::uint64_t>(0)),
                {"key 'k'", "unknown array element type 99"});
}

TEST(GgufTest, RejectsBooleansThatAreNeither) {
  ExpectInvalid(GgufBuilder().Entry("k", 7, "\x02"), {"key 'k'", "boolean", "is 2"});
}

TEST(GgufTest, RejectsDuplicateKeys) {
  ExpectInvalid(GgufBuilder().U32("k", 1).U32("k", 1), {"key 'k' occurs again at offset"});
}

TEST(GgufTest, RejectsKeysOverTheLimit) {
  ExpectInvalid(GgufBuilder().U32(std::string(65536, 'k'), 1), {"65536 bytes", "65535"});
}

TEST(GgufTest, RejectsDuplicateTensors) {
  ExpectInvalid(GgufBuilder().F32Tensor("w", {4}).F32Tensor("w", {4}),
                {"tensor 'w' occurs again at offset"});
}

TEST(GgufTest, RejectsBadAlignment) {
  ExpectInvalid(GgufBuilder().U32("general.alignment", 0), {"'general.alignment'", "0"});
  ExpectInvalid(GgufBuilder().U32("general.alignment", 48),
                {"'general.alignment'", "48 is not a power of two"});
  ExpectInvalid(GgufBuilder().String("general.alignment", "32"),
                {"'general.alignment'", "an integer"});
}

TEST(GgufTest, RejectsMisalignedTensors) {
  GgufBuilder gguf;
  gguf.data_bytes = 64;
  ExpectInvalid(gguf.Tensor("w", {4}, kF32, 16),
                {"tensor 'w'", "data offset 16 is no multiple of the alignment 32"});
}

TEST(GgufTest, RejectsOverlappingTensors) {
  GgufBuilder gguf;
  gguf.data_bytes = 128;
  ExpectInvalid(gguf.Tensor("a", {16}, kF32, 0).Tensor("b", {4}, kF32, 32),
                {"tensor 'b'", "overlap another tensor's"});
}

TEST(GgufTest, RejectsDataBeyondTheFile) {
  GgufBuilder gguf;
  gguf.data_bytes = 32;
  ExpectInvalid(gguf.Tensor("w", {9}, kF32, 0), {"tensor 'w'", "36 bytes", "truncated"});
  GgufBuilder far;
  ExpectInvalid(far.Tensor("w", {4}, kF32, UINT64_MAX - 31), {"tensor 'w'", "end beyond the file"});
}

TEST(GgufTest, RejectsTooManyDimensions) {
  ExpectInvalid(GgufBuilder().Tensor("w", {1, 1, 1, 1, 1}, kF32, 0),
                {"tensor 'w'", "5 dimensions"});
  // Claimed, not there: nothing may be allocated for it.
  std::string file = GgufBuilder().F32Tensor("w", {4}).Build();
  const std::size_t count = file.find("w") + 1;
  file.replace(count, 4, Raw<std::uint32_t>(UINT32_MAX));
  ExpectBroken(file, ErrorCode::kInvalidFormat, {"4294967295 dimensions"});
}

TEST(GgufTest, RejectsShapesThatOverflow) {
  ExpectInvalid(GgufBuilder().Tensor("w", {1ull << 63}, kF32, 0),
                {"tensor 'w'", "dimension 0 is 9223372036854775808"});
  ExpectInvalid(GgufBuilder().Tensor("w", {1ull << 32, 1ull << 32}, kF32, 0),
                {"tensor 'w'", "overflows"});
  ExpectInvalid(GgufBuilder().Tensor("w", {1ull << 62}, kF32, 0), {"tensor 'w'", "overflows"});
}

TEST(GgufTest, RejectsRowsThatAreNoWholeBlocks) {
  // 64 elements are two blocks, but a row is not.
  ExpectInvalid(GgufBuilder().Tensor("w", {16, 4}, kQ4_0, 0),
                {"tensor 'w'", "rows of 16 elements", "Q4_0"});
}

TEST(GgufTest, NamesBlockTypesThatAreNotSupported) {
  ExpectBroken(GgufBuilder().Tensor("w", {256}, 10, 0).Build(), ErrorCode::kUnsupported,
               {"tensor 'w'", "Q2_K", "supported are"});
  ExpectBroken(GgufBuilder().Tensor("w", {256}, 40, 0).Build(), ErrorCode::kUnsupported,
               {"tensor 'w'", "NVFP4"});
  ExpectBroken(GgufBuilder().Tensor("w", {256}, 33, 0).Build(), ErrorCode::kUnsupported,
               {"tensor 'w'", "Q4_0_8_8"});
  ExpectBroken(GgufBuilder().Tensor("w", {256}, 99, 0).Build(), ErrorCode::kUnsupported,
               {"tensor 'w'", "element type 99 is not known"});
}

}  // namespace
}  // namespace mdsa
