#include "io/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "base/temporary_folder.h"

namespace mdsa {
namespace {

using testing::HasSubstr;

class MappedFileTest : public testing::Test {
 protected:
  std::filesystem::path Write(const std::string& name, const std::string& content) const {
    return temporary_.Write(name, content);
  }

  test::TemporaryFolder temporary_;
  const std::filesystem::path& folder_ = temporary_.path();
};

std::string Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_F(MappedFileTest, ShowsTheWholeFile) {
  const std::string content("a\0b\n", 4);
  auto file = MappedFile::Open(Write("x.bin", content));
  ASSERT_TRUE(file) << file.error().ToString();
  EXPECT_EQ(Text((*file)->bytes()), content);
  EXPECT_EQ((*file)->path(), folder_ / "x.bin");
}

TEST_F(MappedFileTest, EmptyFileIsAnEmptySpan) {
  auto file = MappedFile::Open(Write("empty", ""));
  ASSERT_TRUE(file) << file.error().ToString();
  EXPECT_TRUE((*file)->bytes().empty());
  (*file)->ReleasePages((*file)->bytes());
}

TEST_F(MappedFileTest, MissingFileIsNotFoundAndNamed) {
  auto file = MappedFile::Open(folder_ / "nowhere.bin");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(file.error().message(), HasSubstr("nowhere.bin"));
}

TEST_F(MappedFileTest, FileUsedAsFolderIsNotFound) {
  auto file = MappedFile::Open(Write("plain", "x") / "inner");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), ErrorCode::kNotFound);
}

TEST_F(MappedFileTest, DirectoryIsRefused) {
  auto file = MappedFile::Open(folder_);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), ErrorCode::kInvalidFormat);
  EXPECT_THAT(file.error().message(), HasSubstr("a directory"));
}

TEST_F(MappedFileTest, PipeIsRefusedWithoutWaitingForAWriter) {
  const auto pipe = folder_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  auto file = MappedFile::Open(pipe);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), ErrorCode::kInvalidFormat);
}

TEST_F(MappedFileTest, ReleasedPagesReadTheSameAgain) {
  std::string content(1 << 16, 'x');
  content[40000] = 'y';
  auto file = MappedFile::Open(Write("pages", content));
  ASSERT_TRUE(file) << file.error().ToString();
  (*file)->ReleasePages((*file)->bytes().subspan(1, 50000));
  (*file)->ReleasePages((*file)->bytes().subspan(10, 3));
  EXPECT_EQ(Text((*file)->bytes()), content);
}

TEST_F(MappedFileTest, MappingOutlivesTheName) {
  auto file = MappedFile::Open(Write("gone", "still here"));
  ASSERT_TRUE(file) << file.error().ToString();
  std::filesystem::remove(folder_ / "gone");
  EXPECT_EQ(Text((*file)->bytes()), "still here");
}

void ExpectChanged(const Status& status) {
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(status.error().message(), HasSubstr("weights.bin"));
  EXPECT_THAT(status.error().message(), HasSubstr("load the model again"));
}

TEST_F(MappedFileTest, UnchangedWhileNobodyWrites) {
  auto file = MappedFile::Open(Write("weights.bin", "0123456789"));
  ASSERT_TRUE(file) << file.error().ToString();
  EXPECT_TRUE((*file)->CheckUnchanged());
  EXPECT_EQ(Text((*file)->bytes()), "0123456789");
  EXPECT_TRUE((*file)->CheckUnchanged());
}

TEST_F(MappedFileTest, TruncatedFileIsNoticed) {
  const auto path = Write("weights.bin", "0123456789");
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file) << file.error().ToString();
  std::filesystem::resize_file(path, 4);
  ExpectChanged((*file)->CheckUnchanged());
}

TEST_F(MappedFileTest, RewrittenFileOfTheSameSizeIsNoticed) {
  const auto path = Write("weights.bin", "0123456789");
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file) << file.error().ToString();
  // A clock of coarse ticks may give both writes the same time, so the test says which it is.
  std::filesystem::last_write_time(
      path, std::filesystem::last_write_time(path) + std::chrono::nanoseconds(1));
  ExpectChanged((*file)->CheckUnchanged());
}

// How checkpoints are updated: the old file lives on under the map.
TEST_F(MappedFileTest, ReplacedOrDeletedNameIsNoChange) {
  const auto path = Write("weights.bin", "0123456789");
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file) << file.error().ToString();
  std::filesystem::rename(Write("new.bin", "x"), path);
  EXPECT_TRUE((*file)->CheckUnchanged());
  std::filesystem::remove(path);
  EXPECT_TRUE((*file)->CheckUnchanged());
}

TEST_F(MappedFileTest, ReadFileGivesTheContent) {
  const std::string content("{\"a\": 1}\0", 9);
  auto text = ReadFile(Write("a.json", content), 9);
  ASSERT_TRUE(text) << text.error().ToString();
  EXPECT_EQ(*text, content);
}

TEST_F(MappedFileTest, ReadFileRefusesMoreThanItsCap) {
  auto text = ReadFile(Write("big.json", "0123456789"), 9);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(text.error().message(), HasSubstr("big.json"));
  EXPECT_THAT(text.error().message(), HasSubstr("10 bytes"));
}

TEST_F(MappedFileTest, ReadFileMissingIsNotFound) {
  auto text = ReadFile(folder_ / "config.json", 100);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace mdsa
