// From what a user writes to the place of a checkpoint on this machine.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "mdsa/result.h"

namespace mdsa {

// Where the huggingface_hub package keeps its cache: $HF_HUB_CACHE, $HF_HOME/hub, or
// $XDG_CACHE_HOME or ~/.cache + /huggingface/hub; the first that is set. Empty without any of them.
std::vector<std::filesystem::path> HubCacheDirs();

// An existing path is taken as it is. Otherwise `model` is a Hub id ("org/name" or "name"), looked
// up in each of `cache_dirs` in the Hub's layout (models--org--name/refs/main and snapshots/).
// kNotFound says where it was looked for. Never downloads.
Result<std::filesystem::path> ResolveModelPath(std::string_view model,
                                               std::span<const std::filesystem::path> cache_dirs);

}  // namespace mdsa
