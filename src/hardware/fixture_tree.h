// For tests: a folder that looks like the root of a machine's /proc and /sys.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/temporary_folder.h"

namespace mdsa {

// Removed with the object.
class FixtureTree {
 public:
  const std::filesystem::path& root() const { return folder_.path(); }

  FixtureTree& Write(const std::filesystem::path& path, std::string_view text) {
    folder_.Write(path, text);
    return *this;
  }

 private:
  test::TemporaryFolder folder_;
};

}  // namespace mdsa
