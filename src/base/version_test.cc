#include "mdsa/version.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace mdsa {
namespace {

TEST(VersionTest, IsTheVersionOfTheProject) {
  std::ifstream file(MDSA_SOURCE_DIR "/CMakeLists.txt");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_NE(text.find("project(mdsa VERSION " + std::string(Version()) + " "), std::string::npos)
      << Version();
}

}  // namespace
}  // namespace mdsa
