#include "models/cache_dir.h"

#include <cstdlib>

namespace mdsa {

std::filesystem::path ExpandHome(std::string_view path) {
  const char* home = std::getenv("HOME");
  const bool has_home = home != nullptr && *home != '\0';
  if (has_home && path == "~") return home;
  if (has_home && path.starts_with("~/")) return std::filesystem::path(home) / path.substr(2);
  return path;
}

std::filesystem::path DefaultCacheDir() {
  const char* home = std::getenv("MDSA_HOME");
  const std::filesystem::path root =
      home != nullptr && *home != '\0' ? std::filesystem::path(home) : ExpandHome("~/.mdsa");
  return root / "models";
}

}  // namespace mdsa
