// Where models live on this machine.
#pragma once

#include <filesystem>
#include <string_view>

namespace mdsa {

// $MDSA_HOME or ~/.mdsa, + /models. Nothing is created.
std::filesystem::path DefaultCacheDir();

// A leading "~" becomes the home folder, as a shell would have it; without a home folder, or for
// "~name", the path stays as it is.
std::filesystem::path ExpandHome(std::string_view path);

}  // namespace mdsa
