#include "formats/safetensors_source.h"

#include <gtest/gtest.h>

#include "formats/test_support.h"

namespace mdsa {
namespace {

using test::ExpectError;
using test::Safetensors;

std::string OneTensor(std::string_view name, int count) {
  const std::string n = std::to_string(count);
  return Safetensors("{\"" + std::string(name) + "\":{\"dtype\":\"U8\",\"shape\":[" + n +
                         "],\"data_offsets\":[0," + n + "]}}",
                     static_cast<std::size_t>(count));
}

class SafetensorsSourceTest : public testing::Test {
 protected:
  std::shared_ptr<const MappedFile> Map(const std::string& name, std::string_view content) {
    auto file = MappedFile::Open(folder_.Write(name, content));
    EXPECT_TRUE(file) << file.error().ToString();
    return file ? *file : nullptr;
  }
  Result<std::shared_ptr<const SafetensorsSource>> Shards(
      std::vector<std::pair<std::string, std::string>> weight_map, std::string_view first,
      std::string_view second) {
    SafetensorsIndex index;
    index.weight_map = std::move(weight_map);
    index.shards = {"1.safetensors", "2.safetensors"};
    return SafetensorsSource::FromShards(
        index, {Map("1.safetensors", first), Map("2.safetensors", second)});
  }

  test::TemporaryFolder folder_;
};

TEST_F(SafetensorsSourceTest, FindsTensorsOfOneFile) {
  const auto source = SafetensorsSource::FromFile(Map("m.safetensors", OneTensor("w", 3)));
  ASSERT_TRUE(source) << source.error().ToString();
  const TensorInfo* tensor = (*source)->Find("w");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->bytes[2], std::byte{2});
  EXPECT_EQ((*source)->Find("v"), nullptr);
  (*source)->ReleasePages(*tensor);
  EXPECT_EQ(tensor->bytes[2], std::byte{2});
}

TEST_F(SafetensorsSourceTest, JoinsShardsInOrder) {
  const auto source = Shards({{"b", "2.safetensors"}, {"a", "1.safetensors"}}, OneTensor("a", 2),
                             OneTensor("b", 5));
  ASSERT_TRUE(source) << source.error().ToString();
  ASSERT_EQ((*source)->tensors().size(), 2u);
  EXPECT_EQ((*source)->tensors()[0].name, "a");
  EXPECT_EQ((*source)->Find("b")->bytes.size(), 5u);
  (*source)->ReleasePages((*source)->tensors()[1]);
}

TEST_F(SafetensorsSourceTest, RejectsTensorMissingFromItsShard) {
  ExpectError(Shards({{"a", "2.safetensors"}, {"b", "2.safetensors"}}, OneTensor("a", 2),
                     OneTensor("b", 5)),
              ErrorCode::kInvalidFormat, {"tensor 'a'", "2.safetensors", "does not contain it"});
  ExpectError(Shards({{"c", "1.safetensors"}}, OneTensor("a", 2), OneTensor("b", 5)),
              ErrorCode::kInvalidFormat, {"tensor 'c'", "1.safetensors"});
}

TEST_F(SafetensorsSourceTest, RejectsTensorInTwoShards) {
  ExpectError(Shards({{"a", "1.safetensors"}}, OneTensor("a", 2), OneTensor("a", 2)),
              ErrorCode::kInvalidFormat, {"tensor 'a'", "1.safetensors", "2.safetensors"});
}

TEST_F(SafetensorsSourceTest, ShardTruncatedBySomebodyElseIsNamed) {
  const auto source = Shards({{"b", "2.safetensors"}, {"a", "1.safetensors"}}, OneTensor("a", 2),
                             OneTensor("b", 5));
  ASSERT_TRUE(source) << source.error().ToString();
  EXPECT_TRUE((*source)->CheckUnchanged());
  std::filesystem::resize_file(folder_.path() / "2.safetensors", 3);
  ExpectError((*source)->CheckUnchanged(), ErrorCode::kFailedPrecondition,
              {"2.safetensors", "changed since it was loaded"});
}

TEST_F(SafetensorsSourceTest, DamagedShardIsNamed) {
  ExpectError(Shards({{"a", "1.safetensors"}}, OneTensor("a", 2), "xx"), ErrorCode::kInvalidFormat,
              {"2.safetensors", "2 bytes"});
}

}  // namespace
}  // namespace mdsa
