// From what a user writes to the place of a checkpoint on this machine.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/result.h"

namespace mdsa {

// Where the huggingface_hub package keeps its cache: $HF_HUB_CACHE or $HUGGINGFACE_HUB_CACHE (its
// old name), $HF_HOME/hub, or $XDG_CACHE_HOME or ~/.cache + /huggingface/hub; the first that is
// set. Empty without any of them.
std::vector<std::filesystem::path> HubCacheDirs();

// Where a Hub id is looked for, in this order and each folder once: `first` (a config's cache_dir;
// "~" is the home folder), the loader's folder, the Hub's caches.
std::vector<std::filesystem::path> CacheSearchPath(const std::optional<std::string>& first,
                                                   const std::filesystem::path& loader_dir);

// An existing path is taken as it is. Otherwise `model` is a Hub id ("org/name" or "name"), looked
// up in each of `cache_dirs` in the Hub's layout (models--org--name/refs/main and snapshots/).
// kNotFound says where it was looked for. Never downloads.
Result<std::filesystem::path> ResolveModelPath(std::string_view model,
                                               std::span<const std::filesystem::path> cache_dirs);

}  // namespace mdsa
