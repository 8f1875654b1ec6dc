// Which tables and keys a configuration file may have.
#pragma once

#include <expected>

#include "formats/toml.h"
#include "mdsa/config_file.h"

namespace mdsa {

// Paths stay as written. The problem is the first in the order of the file.
std::expected<ConfigFile, TomlProblem> ReadConfig(const TomlTable& table);

}  // namespace mdsa
