#include "formats/safetensors_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <span>

#include "formats/safetensors.h"

namespace mdsa {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string FileOf(const SafetensorsLayout& layout) {
  std::string file = layout.head();
  file.resize(static_cast<std::size_t>(layout.file_bytes()));
  return file;
}

ErrorCode CodeOf(std::vector<SafetensorsEntry> entries) {
  const auto layout = SafetensorsLayout::Create(std::move(entries), {});
  return layout ? ErrorCode::kInternal : layout.error().code();
}

// What safetensors 0.8.0 writes for the same tensors.
TEST(SafetensorsLayoutTest, HeadEqualsTheReferenceWriters) {
  const auto layout = SafetensorsLayout::Create({{"a", DType::kU8, {3}},
                                                 {"c", DType::kF32, {2, 2}},
                                                 {"b", DType::kF32, {}},
                                                 {"d", DType::kBF16, {0, 4}}},
                                                {{"format", "pt"}});
  ASSERT_TRUE(layout);
  const std::string json =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("c":{"dtype":"F32","shape":[2,2],"data_offsets":[4,20]},)"
      R"("d":{"dtype":"BF16","shape":[0,4],"data_offsets":[20,20]},)"
      R"("a":{"dtype":"U8","shape":[3],"data_offsets":[20,23]}})";
  ASSERT_EQ(layout->head().size() % 8, 0u);
  EXPECT_EQ(layout->head().substr(8, json.size()), json);
  EXPECT_EQ(layout->head().find_last_not_of(' '), 8 + json.size() - 1);
  EXPECT_EQ(layout->file_bytes(), layout->head().size() + 23);
  EXPECT_EQ(layout->Find("c")->offset, layout->head().size() + 4);
  EXPECT_EQ(layout->Find("c")->bytes, 16u);
  EXPECT_EQ(layout->Find("e"), nullptr);
}

// The order in which safetensors 0.8.0 writes one tensor of each type.
TEST(SafetensorsLayoutTest, TypesAreInTheOrderOfTheReferenceWriter) {
  const std::vector<DType> order = {DType::kU64, DType::kI64, DType::kF64,    DType::kF32,
                                    DType::kU32, DType::kI32, DType::kBF16,   DType::kF16,
                                    DType::kU16, DType::kI16, DType::kF8E4M3, DType::kF8E5M2,
                                    DType::kI8,  DType::kU8,  DType::kBool};
  std::vector<SafetensorsEntry> entries;
  // Named and given so that neither decides.
  for (std::size_t i = order.size(); i-- > 0;) {
    entries.push_back({std::string(1, static_cast<char>('z' - i)), order[i], {1}});
  }
  const auto layout = SafetensorsLayout::Create(std::move(entries), {});
  ASSERT_TRUE(layout) << layout.error().ToString();
  std::vector<DType> found;
  for (const auto& placed : layout->tensors()) found.push_back(placed.entry.dtype);
  EXPECT_EQ(found, order);
}

TEST(SafetensorsLayoutTest, ManyTensorsTakeLinearTime) {
  std::vector<SafetensorsEntry> entries;
  for (int i = 0; i < 100'000; ++i) entries.push_back({std::to_string(i), DType::kU8, {1}});
  const auto layout = SafetensorsLayout::Create(std::move(entries), {});
  ASSERT_TRUE(layout) << layout.error().ToString();
  EXPECT_EQ(layout->tensors().size(), 100'000u);
}

TEST(SafetensorsLayoutTest, ReaderReadsIt) {
  const auto layout = SafetensorsLayout::Create(
      {{"z\"\n\xc3\xa9", DType::kI64, {2}}, {"w", DType::kI8, {5}}, {"h", DType::kF16, {1}}},
      {{"k", "v"}});
  ASSERT_TRUE(layout);
  const std::string file = FileOf(*layout);
  const auto header = ParseSafetensorsHeader(std::as_bytes(std::span(file)));
  ASSERT_TRUE(header) << header.error().ToString();
  ASSERT_EQ(header->tensors.size(), 3u);
  EXPECT_EQ(header->tensors[0].name, "z\"\n\xc3\xa9");
  EXPECT_EQ(header->tensors[1].name, "h");
  EXPECT_EQ(header->tensors[2].name, "w");
  EXPECT_THAT(header->metadata, ElementsAre(std::pair<std::string, std::string>("k", "v")));
}

TEST(SafetensorsLayoutTest, NoTensorIsAFileToo) {
  const auto layout = SafetensorsLayout::Create({}, {});
  ASSERT_TRUE(layout);
  const std::string file = FileOf(*layout);
  EXPECT_TRUE(ParseSafetensorsHeader(std::as_bytes(std::span(file))));
}

TEST(SafetensorsLayoutTest, RefusesWhatTheFormatCannotHold) {
  EXPECT_EQ(CodeOf({{"", DType::kF32, {1}}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf({{"__metadata__", DType::kF32, {1}}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf({{"\xff", DType::kF32, {1}}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf({{"a", DType::kF32, {-1}}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf({{"a", DType::kF32, {1}}, {"a", DType::kU8, {1}}}), ErrorCode::kInvalidArgument);
  constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(CodeOf({{"a", DType::kF32, {kHuge}}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(
      CodeOf({{"a", DType::kU8, {kHuge}}, {"b", DType::kU8, {kHuge}}, {"c", DType::kU8, {kHuge}}}),
      ErrorCode::kInvalidArgument);
  const auto block = SafetensorsLayout::Create({{"q", DType::kQ4_1, {32}}}, {});
  ASSERT_FALSE(block);
  EXPECT_EQ(block.error().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(block.error().ToString(), HasSubstr("'q'"));
}

}  // namespace
}  // namespace mdsa
