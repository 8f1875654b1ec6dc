#include "io/staged_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "base/temporary_folder.h"
#include "io/output_file.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;

std::string Contents(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class StagedFolderTest : public testing::Test {
 protected:
  static void Put(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }
  std::ptrdiff_t Entries() const {
    return std::distance(fs::directory_iterator(root_), fs::directory_iterator());
  }

  test::TemporaryFolder temporary_;
  const fs::path& root_ = temporary_.path();
};

TEST_F(StagedFolderTest, AppearsWhenPublished) {
  {
    auto folder = StagedFolder::Create(root_ / "out", false);
    ASSERT_TRUE(folder);
    Put(folder->path() / "a", "1");
    EXPECT_FALSE(fs::exists(root_ / "out"));
    ASSERT_TRUE(folder->Publish());
  }
  EXPECT_EQ(Contents(root_ / "out/a"), "1");
  EXPECT_EQ(Entries(), 1);
}

TEST_F(StagedFolderTest, LeavesNothingWhenNotPublished) {
  {
    auto folder = StagedFolder::Create(root_ / "out/", false);
    ASSERT_TRUE(folder);
    Put(folder->path() / "a", "1");
    EXPECT_EQ(Entries(), 1);
  }
  EXPECT_EQ(Entries(), 0);
}

TEST_F(StagedFolderTest, RefusesWhatExists) {
  fs::create_directory(root_ / "out");
  const auto folder = StagedFolder::Create(root_ / "out", false);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code(), ErrorCode::kAlreadyExists);
}

TEST_F(StagedFolderTest, RefusesWhatCameMeanwhile) {
  auto folder = StagedFolder::Create(root_ / "out", false);
  ASSERT_TRUE(folder);
  Put(root_ / "out", "somebody else's");
  const Status published = folder->Publish();
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(Contents(root_ / "out"), "somebody else's");
}

TEST_F(StagedFolderTest, ReplacesInOneStep) {
  fs::create_directory(root_ / "out");
  Put(root_ / "out/old", "1");
  {
    auto folder = StagedFolder::Create(root_ / "out", true);
    ASSERT_TRUE(folder);
    Put(folder->path() / "new", "2");
    EXPECT_EQ(Contents(root_ / "out/old"), "1");
    ASSERT_TRUE(folder->Publish());
  }
  EXPECT_FALSE(fs::exists(root_ / "out/old"));
  EXPECT_EQ(Contents(root_ / "out/new"), "2");
  EXPECT_EQ(Entries(), 1);
}

TEST_F(StagedFolderTest, NamesTheMissingParent) {
  const auto folder = StagedFolder::Create(root_ / "none/out", false);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code(), ErrorCode::kNotFound);
  EXPECT_NE(folder.error().message().find("none"), std::string::npos);
}

TEST_F(StagedFolderTest, RefusesPathsThatNameNoFolder) {
  for (const fs::path& path : {fs::path(), fs::path("/"), fs::path("//"), fs::path("."),
                               fs::path(".."), root_ / "out/..", root_ / "out/./"}) {
    const auto folder = StagedFolder::Create(path, true);
    ASSERT_FALSE(folder) << path;
    EXPECT_EQ(folder.error().code(), ErrorCode::kInvalidArgument) << path;
  }
  EXPECT_EQ(Entries(), 0);
}

// "link/.." is the parent of what the link points to, not the folder that holds the link.
TEST_F(StagedFolderTest, ParentIsFoundThroughSymlinks) {
  fs::create_directories(root_ / "real/inner");
  fs::create_directory_symlink(root_ / "real/inner", root_ / "link");
  auto folder = StagedFolder::Create(root_ / "link/../out//", false);
  ASSERT_TRUE(folder) << folder.error().ToString();
  ASSERT_TRUE(folder->Publish());
  EXPECT_TRUE(fs::is_directory(root_ / "real/out"));
  EXPECT_FALSE(fs::exists(root_ / "out"));
}

TEST_F(StagedFolderTest, HasThePermissionsOfAnyNewFolder) {
  auto folder = StagedFolder::Create(root_ / "out", false);
  ASSERT_TRUE(folder && folder->Publish());
  fs::create_directory(root_ / "plain");
  EXPECT_EQ(fs::status(root_ / "out").permissions(), fs::status(root_ / "plain").permissions());
}

TEST_F(StagedFolderTest, OutputFileWritesAtAnyPlace) {
  auto file = OutputFile::Create(root_ / "f", 4);
  ASSERT_TRUE(file);
  const std::string text = "abcd";
  const auto bytes = std::as_bytes(std::span(text));
  ASSERT_TRUE(file->WriteAt(2, bytes.subspan(2)));
  ASSERT_TRUE(file->WriteAt(0, bytes.first(2)));
  ASSERT_TRUE(file->Close());
  EXPECT_EQ(Contents(root_ / "f"), "abcd");
}

TEST_F(StagedFolderTest, OutputFileReportsTheSystem) {
  Put(root_ / "f", "");
  EXPECT_EQ(OutputFile::Create(root_ / "f", 0).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(OutputFile::Create(root_ / "none/f", 0).error().code(), ErrorCode::kIo);
  for (const std::uint64_t bytes : {std::uint64_t{1} << 60, ~std::uint64_t{0}}) {
    const auto huge = OutputFile::Create(root_ / "huge", bytes);
    ASSERT_FALSE(huge);
    EXPECT_EQ(huge.error().code(), ErrorCode::kIo);
    EXPECT_FALSE(fs::exists(root_ / "huge"));
  }
}

}  // namespace
}  // namespace mdsa
