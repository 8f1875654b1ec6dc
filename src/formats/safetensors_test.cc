#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <string>

#include "formats/test_support.h"

namespace mdsa {
namespace {

using test::AsBytes;
using test::ExpectError;
using test::Raw;
using test::Safetensors;

Result<SafetensorsHeader> Parse(std::string_view header, std::size_t data_bytes) {
  const std::string file = Safetensors(header, data_bytes);
  auto parsed = ParseSafetensorsHeader(AsBytes(file));
  if (parsed) {
    for (TensorInfo& tensor : parsed->tensors) tensor.bytes = {};  // `file` goes away
  }
  return parsed;
}

void ExpectInvalid(std::string_view header, std::size_t data_bytes,
                   std::initializer_list<std::string_view> parts) {
  ExpectError(Parse(header, data_bytes), ErrorCode::kInvalidFormat, parts);
}

TEST(SafetensorsTest, ReadsTensorsInTheOrderOfTheirData) {
  const std::string file =
      Safetensors(R"({"b":{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]},)"
                  R"("__metadata__":{"format":"pt"},)"
                  R"("a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}})",
                  12);
  const auto header = ParseSafetensorsHeader(AsBytes(file));
  ASSERT_TRUE(header) << header.error().ToString();
  ASSERT_EQ(header->tensors.size(), 2u);
  const TensorInfo& a = header->tensors[0];
  const TensorInfo& b = header->tensors[1];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.dtype, DType::kBF16);
  EXPECT_EQ(a.row_order, RowOrder::kNatural);
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(b.bytes.size(), 8u);
  EXPECT_EQ(b.bytes[0], std::byte{4});
  EXPECT_EQ(b.bytes.data() + b.bytes.size(), AsBytes(file).data() + file.size());
  ASSERT_EQ(header->metadata.size(), 1u);
  EXPECT_EQ(header->metadata[0], (std::pair<std::string, std::string>("format", "pt")));
}

TEST(SafetensorsTest, EveryDTypeOfOurs) {
  for (const auto& [name, bytes] : {std::pair("BOOL", 1),
                                    {"U8", 1},
                                    {"I8", 1},
                                    {"F8_E4M3", 1},
                                    {"F8_E5M2", 1},
                                    {"I16", 2},
                                    {"U16", 2},
                                    {"F16", 2},
                                    {"BF16", 2},
                                    {"I32", 4},
                                    {"U32", 4},
                                    {"F32", 4},
                                    {"I64", 8},
                                    {"U64", 8},
                                    {"F64", 8}}) {
    const std::string header = std::string(R"({"x":{"dtype":")") + name +
                               R"(","shape":[3],"data_offsets":[0,)" + std::to_string(3 * bytes) +
                               "]}}";
    const auto parsed = Parse(header, static_cast<std::size_t>(3 * bytes));
    ASSERT_TRUE(parsed) << parsed.error().ToString();
    EXPECT_EQ(DTypeName(parsed->tensors[0].dtype), name);
  }
}

TEST(SafetensorsTest, AcceptsScalarsAndEmptyTensors) {
  const auto header = Parse(R"({"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                            R"("full":{"dtype":"U8","shape":[2],"data_offsets":[4,6]},)"
                            R"("empty":{"dtype":"F32","shape":[0,5],"data_offsets":[4,4]}})",
                            6);
  ASSERT_TRUE(header) << header.error().ToString();
  EXPECT_EQ(header->tensors[0].elements(), 1);
  EXPECT_EQ(header->tensors[1].name, "empty");
  EXPECT_EQ(header->tensors[1].elements(), 0);
}

TEST(SafetensorsTest, AcceptsNoTensorsAtAll) {
  const auto header = Parse("{}", 0);
  ASSERT_TRUE(header) << header.error().ToString();
  EXPECT_TRUE(header->tensors.empty());
}

TEST(SafetensorsTest, AcceptsTrailingSpacesUnknownFieldsAndNullMetadata) {
  const auto header = Parse(
      R"({"__metadata__":null,"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"note":[1]}}   )",
      1);
  ASSERT_TRUE(header) << header.error().ToString();
  EXPECT_EQ(header->tensors.size(), 1u);
}

// As the reference reader does, though its writer never writes them.
TEST(SafetensorsTest, AcceptsLeadingSpaces) {
  const auto header = Parse(R"(  {"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1);
  ASSERT_TRUE(header) << header.error().ToString();
  EXPECT_EQ(header->tensors.size(), 1u);
}

TEST(SafetensorsTest, RejectsFileShorterThanTheLength) {
  ExpectError(ParseSafetensorsHeader(AsBytes("1234567")), ErrorCode::kInvalidFormat,
              {"7 bytes", "offset 0"});
  ExpectError(ParseSafetensorsHeader({}), ErrorCode::kInvalidFormat, {"0 bytes"});
}

TEST(SafetensorsTest, RejectsZeroLengthHeader) {
  ExpectError(ParseSafetensorsHeader(AsBytes(Raw<std::uint64_t>(0))), ErrorCode::kInvalidFormat,
              {"header length at offset 0 is 0"});
}

TEST(SafetensorsTest, RejectsHeaderOverTheCap) {
  ExpectError(ParseSafetensorsHeader(AsBytes(Raw<std::uint64_t>(100'000'001) + "{}")),
              ErrorCode::kInvalidFormat, {"100000001", "at most 100000000"});
  // The cap itself is legal: only the file is too short for it.
  ExpectError(ParseSafetensorsHeader(AsBytes(Raw<std::uint64_t>(100'000'000) + "{}")),
              ErrorCode::kInvalidFormat, {"100000000", "ends beyond the file"});
  ExpectError(ParseSafetensorsHeader(AsBytes(Raw<std::uint64_t>(UINT64_MAX) + "{}")),
              ErrorCode::kInvalidFormat, {"18446744073709551615"});
}

TEST(SafetensorsTest, RejectsHeaderBeyondTheFile) {
  ExpectError(ParseSafetensorsHeader(AsBytes(Raw<std::uint64_t>(3) + "{}")),
              ErrorCode::kInvalidFormat, {"header of 3 bytes", "file of 10 bytes", "truncated"});
}

TEST(SafetensorsTest, RejectsIllFormedUtf8) {
  ExpectInvalid("{\"\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
                {"header at offset 8", "not valid JSON"});
}

TEST(SafetensorsTest, RejectsRootThatIsNoObject) {
  ExpectInvalid("[]", 0, {"expected an object", "an array"});
  ExpectInvalid("\"x\"", 0, {"expected an object"});
}

TEST(SafetensorsTest, RejectsBrokenJson) {
  ExpectInvalid("{\"x\":", 0, {"not valid JSON"});
  ExpectInvalid("   ", 0, {"not valid JSON"});
}

TEST(SafetensorsTest, RejectsBytesAfterTheJson) {
  ExpectInvalid(std::string("{}\0", 3), 0, {"not valid JSON"});
  ExpectInvalid("{}{}", 0, {"not valid JSON"});
}

TEST(SafetensorsTest, RejectsDataThatDoNotStartAtZero) {
  ExpectInvalid(R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2,
                {"tensor 'x'", "leaving a hole", "file offset 62"});
}

TEST(SafetensorsTest, RejectsHole) {
  ExpectInvalid(R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                R"("y":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                3, {"tensor 'y'", "leaving a hole"});
}

TEST(SafetensorsTest, RejectsOverlap) {
  ExpectInvalid(R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                R"("y":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                3, {"tensor 'y'", "overlapping"});
}

TEST(SafetensorsTest, RejectsTwoTensorsOnTheSameBytes) {
  ExpectInvalid(R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                R"("y":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
                2, {"tensor 'y'", "overlapping"});
}

TEST(SafetensorsTest, RejectsTruncatedData) {
  ExpectInvalid(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7,
                {"tensor 'x'", "end beyond the 7 bytes", "truncated"});
}

TEST(SafetensorsTest, RejectsTrailingData) {
  ExpectInvalid(R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 3,
                {"2 bytes at file offset 62 belong to no tensor"});
  ExpectInvalid("{}", 1, {"1 bytes at file offset 10 belong to no tensor"});
}

TEST(SafetensorsTest, RejectsSizeThatDoesNotFitTheShape) {
  ExpectInvalid(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,7]}})", 7,
                {"tensor 'x'", "need 8 bytes", "span 7"});
  ExpectInvalid(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}})", 9,
                {"tensor 'x'", "need 8 bytes", "span 9"});
}

TEST(SafetensorsTest, RejectsShapeThatOverflows) {
  ExpectInvalid(R"({"x":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
                {"tensor 'x'", "overflows"});
  ExpectInvalid(R"({"x":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0,
                {"overflows"});
  // A zero behind the overflow does not undo it.
  ExpectInvalid(R"({"x":{"dtype":"U8","shape":[4611686018427387904,4,0],"data_offsets":[0,0]}})", 0,
                {"overflows"});
}

TEST(SafetensorsTest, RejectsDimensionsThatAreNoCounts) {
  for (std::string_view dim : {"-1", "1.0", "\"1\"", "null", "true", "9223372036854775808"}) {
    ExpectInvalid(
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[1," + std::string(dim) + "],\"data_offsets\":[0,1]}}",
        1, {"tensor 'x'", "dimension 1 of 'shape'"});
  }
}

TEST(SafetensorsTest, RejectsBadOffsets) {
  for (std::string_view offsets : {"[]", "[0]", "[0,1,2]", "[1,0]", "[-1,0]", "[0,1.0]",
                                   "[0,\"1\"]", "[0,18446744073709551615]"}) {
    ExpectInvalid(
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":" + std::string(offsets) + "}}", 1,
        {"tensor 'x'", "'data_offsets'"});
  }
}

TEST(SafetensorsTest, HugeOffsetsDoNotOverflowTheMessage) {
  ExpectInvalid(
      R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807]}})",
      1, {"tensor 'x'", "leaving a hole"});
}

TEST(SafetensorsTest, RejectsMissingFields) {
  ExpectInvalid(R"({"x":{"shape":[1],"data_offsets":[0,1]}})", 1, {"tensor 'x'", "'dtype'"});
  ExpectInvalid(R"({"x":{"dtype":"U8","data_offsets":[0,1]}})", 1, {"'shape' is missing"});
  ExpectInvalid(R"({"x":{"dtype":"U8","shape":[1]}})", 1, {"'data_offsets' is missing"});
}

TEST(SafetensorsTest, RejectsFieldsOfTheWrongType) {
  ExpectInvalid(R"({"x":{"dtype":1,"shape":[1],"data_offsets":[0,1]}})", 1,
                {"tensor 'x'", "key 'dtype'", "expected a string, found an integer"});
  ExpectInvalid(R"({"x":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1,
                {"key 'shape'", "expected an array"});
  ExpectInvalid(R"({"x":[]})", 0, {"tensor 'x'", "expected an object, found an array"});
}

TEST(SafetensorsTest, RejectsUnknownDType) {
  ExpectInvalid(R"({"x":{"dtype":"F99","shape":[1],"data_offsets":[0,1]}})", 1,
                {"tensor 'x'", "unknown element type 'F99'"});
}

TEST(SafetensorsTest, DTypesOfTheFormatThatWeCannotHoldAreUnsupported) {
  for (std::string_view name :
       {"F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"}) {
    ExpectError(Parse("{\"x\":{\"dtype\":\"" + std::string(name) +
                          "\",\"shape\":[2],\"data_offsets\":[0,1]}}",
                      1),
                ErrorCode::kUnsupported, {"tensor 'x'", name});
  }
}

TEST(SafetensorsTest, RejectsMetadataThatIsNoMapOfStrings) {
  ExpectInvalid(R"({"__metadata__":{"a":1}})", 0,
                {"__metadata__", "key 'a'", "expected a string, found an integer"});
  ExpectInvalid(R"({"__metadata__":[]})", 0, {"__metadata__", "an array"});
  ExpectInvalid(R"({"__metadata__":{"a":"1","a":"1"}})", 0, {"__metadata__", "occurs twice"});
  ExpectInvalid(R"({"__metadata__":{"a":null}})", 0, {"__metadata__", "found null"});
  ExpectInvalid(R"({"__metadata__":{"a":"1"},"__metadata__":{"a":"1"}})", 0,
                {"'__metadata__' occurs twice"});
}

TEST(SafetensorsTest, RejectsDuplicateKeys) {
  constexpr std::string_view kEntry = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  ExpectInvalid("{\"x\":" + std::string(kEntry) + ",\"x\":" + std::string(kEntry) + "}", 1,
                {"key 'x' occurs twice"});
  // The same name once escaped.
  ExpectInvalid("{\"x\":" + std::string(kEntry) + ",\"\\u0078\":" + std::string(kEntry) + "}", 1,
                {"key 'x' occurs twice"});
  ExpectInvalid(R"({"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
                {"tensor 'x'", "'dtype' occurs twice"});
}

TEST(SafetensorsTest, HostileNamesAreCutAndCleanedInMessages) {
  const auto parsed = Parse("{\"" + std::string(100000, 'n') + "\":1}", 0);
  ASSERT_FALSE(parsed);
  EXPECT_LT(parsed.error().ToString().size(), 300u);
  ExpectInvalid("{\"\\u001b[31m\":1}", 0, {"'?[31m'"});
}

TEST(SafetensorsTest, DeepNestingIsAnErrorNotACrash) {
  ExpectInvalid("{\"x\":" + std::string(100000, '[') + "}", 0, {"not valid JSON"});
}

}  // namespace
}  // namespace mdsa
