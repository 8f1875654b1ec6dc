#include "models/model_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "formats/test_support.h"

namespace mdsa {
namespace {

using test::ExpectError;

class ModelPathTest : public testing::Test {
 protected:
  Result<std::filesystem::path> Resolve(std::string_view model) {
    const std::vector<std::filesystem::path> caches = {folder_.path() / "first",
                                                       folder_.path() / "second"};
    return ResolveModelPath(model, caches);
  }
  test::TemporaryFolder folder_;
};

TEST_F(ModelPathTest, ExistingPathWins) {
  const auto path = folder_.Write("org/name/config.json", "{}").parent_path();
  EXPECT_EQ(Resolve(path.string()), path);
}

TEST_F(ModelPathTest, FindsTheSnapshotThatMainNames) {
  folder_.Write("second/models--org--name/refs/main", "0123abcd\n");
  const auto config =
      folder_.Write("second/models--org--name/snapshots/0123abcd/config.json", "{}");
  EXPECT_EQ(Resolve("org/name"), config.parent_path());
}

TEST_F(ModelPathTest, FindsNamesWithoutOrganization) {
  folder_.Write("first/models--tiny-bert/refs/main", "ff");
  const auto config = folder_.Write("first/models--tiny-bert/snapshots/ff/config.json", "{}");
  EXPECT_EQ(Resolve("tiny-bert"), config.parent_path());
}

TEST_F(ModelPathTest, NotFoundNamesThePlaces) {
  ExpectError(
      Resolve("org/name"), ErrorCode::kNotFound,
      {"'org/name'", "first/models--org--name", "second/models--org--name", "does not download"});
}

TEST_F(ModelPathTest, ReferenceWithoutItsSnapshotIsNotFound) {
  folder_.Write("first/models--org--name/refs/main", "0123abcd");
  ExpectError(Resolve("org/name"), ErrorCode::kNotFound, {"first/models--org--name"});
}

TEST_F(ModelPathTest, ReferenceCannotLeaveTheCache) {
  folder_.Write("first/models--org--name/refs/main", "../../../etc");
  ExpectError(Resolve("org/name"), ErrorCode::kInvalidFormat, {"refs/main", "names no commit"});
}

TEST_F(ModelPathTest, RefusesWhatIsNeitherPathNorId) {
  for (std::string_view name : {"a/b/c", "/nowhere/at/all", "../x", "a--b", "a..b", "-a", "a.git",
                                "org/", "/name", "a b", "org/name\n"}) {
    ExpectError(Resolve(name), ErrorCode::kNotFound, {"is not a Hub id"});
  }
  ExpectError(Resolve(std::string(97, 'x')), ErrorCode::kNotFound, {"is not a Hub id"});
  ExpectError(Resolve(std::string_view("a\0b", 3)), ErrorCode::kNotFound, {"'a?b'"});
  ExpectError(Resolve(""), ErrorCode::kInvalidArgument, {"empty"});
}

// Sets variables of the environment for one test.
class Environment {
 public:
  ~Environment() {
    for (const auto& [name, value] : before_) {
      if (value) {
        setenv(name.c_str(), value->c_str(), 1);
      } else {
        unsetenv(name.c_str());
      }
    }
  }
  void Set(const std::string& name, std::optional<std::string> value) {
    const char* old = std::getenv(name.c_str());
    before_.emplace_back(name, old != nullptr ? std::optional<std::string>(old) : std::nullopt);
    if (value) {
      setenv(name.c_str(), value->c_str(), 1);
    } else {
      unsetenv(name.c_str());
    }
  }

 private:
  std::vector<std::pair<std::string, std::optional<std::string>>> before_;
};

TEST(HubCacheDirsTest, FollowsTheVariablesOfTheHubClient) {
  Environment environment;
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"}) {
    environment.Set(name, std::nullopt);
  }
  using Paths = std::vector<std::filesystem::path>;
  environment.Set("HOME", "/home/me");
  EXPECT_EQ(HubCacheDirs(), Paths{"/home/me/.cache/huggingface/hub"});
  environment.Set("XDG_CACHE_HOME", "/cache");
  EXPECT_EQ(HubCacheDirs(), Paths{"/cache/huggingface/hub"});
  environment.Set("HF_HOME", "/hf");
  EXPECT_EQ(HubCacheDirs(), Paths{"/hf/hub"});
  environment.Set("HF_HUB_CACHE", "/hub");
  EXPECT_EQ(HubCacheDirs(), Paths{"/hub"});
}

TEST(CacheSearchPathTest, NamesEachFolderOnceInOrder) {
  setenv("HF_HUB_CACHE", "/hub/", 1);
  using ::testing::ElementsAre;
  EXPECT_THAT(CacheSearchPath("/mine", "/models"), ElementsAre("/mine", "/models", "/hub/"));
  EXPECT_THAT(CacheSearchPath("/models/", "/models"), ElementsAre("/models/", "/hub/"));
  EXPECT_THAT(CacheSearchPath(std::nullopt, "/hub"), ElementsAre("/hub"));
  unsetenv("HF_HUB_CACHE");
}

}  // namespace
}  // namespace mdsa
