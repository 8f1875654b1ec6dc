#include "formats/safetensors_index.h"

#include <gtest/gtest.h>

#include "formats/test_support.h"

namespace mdsa {
namespace {

using test::ExpectError;

TEST(SafetensorsIndexTest, ListsTensorsAndDistinctShards) {
  const auto index = ParseSafetensorsIndex(
      R"({"metadata":{"total_size":8},"weight_map":{)"
      R"("b":"model-00002-of-00002.safetensors","a":"model-00001-of-00002.safetensors",)"
      R"("c":"model-00002-of-00002.safetensors"}})");
  ASSERT_TRUE(index) << index.error().ToString();
  EXPECT_EQ(index->shards, (std::vector<std::string>{"model-00001-of-00002.safetensors",
                                                     "model-00002-of-00002.safetensors"}));
  ASSERT_EQ(index->weight_map.size(), 3u);
  EXPECT_EQ(index->weight_map[0].first, "b");
}

TEST(SafetensorsIndexTest, RejectsNamesThatLeaveTheFolder) {
  for (std::string_view name : {"../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..",
                                "a\\\\b.safetensors", "a\\u0000.safetensors", "a\\n.safetensors",
                                "\\u001b[31m.safetensors", "a\\u007f.safetensors"}) {
    ExpectError(ParseSafetensorsIndex("{\"weight_map\":{\"w\":\"" + std::string(name) + "\"}}"),
                ErrorCode::kInvalidFormat, {"weight_map entry 'w'", "not a plain file name"});
  }
}

TEST(SafetensorsIndexTest, RejectsNamesThatNoFileCanHave) {
  const auto index = [](std::size_t length) {
    return ParseSafetensorsIndex("{\"weight_map\":{\"w\":\"" + std::string(length - 12, 'n') +
                                 ".safetensors\"}}");
  };
  EXPECT_TRUE(index(255));
  ExpectError(index(256), ErrorCode::kInvalidFormat, {"not a plain file name"});
}

TEST(SafetensorsIndexTest, RejectsNamesThatAreNoShards) {
  ExpectError(ParseSafetensorsIndex(R"({"weight_map":{"w":""}})"), ErrorCode::kInvalidFormat,
              {"weight_map entry 'w'", "empty"});
  ExpectError(ParseSafetensorsIndex(R"({"weight_map":{"w":1}})"), ErrorCode::kInvalidFormat,
              {"weight_map entry 'w'", "expected a string, found an integer"});
  ExpectError(ParseSafetensorsIndex(R"({"weight_map":{"w":"pytorch_model.bin"}})"),
              ErrorCode::kInvalidFormat, {"'pytorch_model.bin'", "not a .safetensors file"});
}

TEST(SafetensorsIndexTest, RejectsDuplicateTensors) {
  ExpectError(ParseSafetensorsIndex(R"({"weight_map":{"w":"a.safetensors","w":"b.safetensors"}})"),
              ErrorCode::kInvalidFormat, {"tensor 'w' occurs twice"});
}

TEST(SafetensorsIndexTest, RejectsMissingOrWrongMap) {
  ExpectError(ParseSafetensorsIndex("{}"), ErrorCode::kInvalidFormat, {"'weight_map' is missing"});
  ExpectError(ParseSafetensorsIndex(R"({"weight_map":{}})"), ErrorCode::kInvalidFormat, {"empty"});
  ExpectError(ParseSafetensorsIndex(R"({"weight_map":[]})"), ErrorCode::kInvalidFormat,
              {"key 'weight_map'", "expected an object, found an array"});
  ExpectError(ParseSafetensorsIndex("[]"), ErrorCode::kInvalidFormat, {"expected an object"});
  ExpectError(ParseSafetensorsIndex(""), ErrorCode::kInvalidFormat, {"not valid JSON"});
}

}  // namespace
}  // namespace mdsa
