// mdsa.toml: limits, and the models of an application with their settings.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/model_config.h"
#include "mdsa/residency.h"
#include "mdsa/result.h"

namespace mdsa {

// One [[model]] of the file.
struct DeclaredModel {
  std::string id;
  ModelConfig config;
  ModelSettings settings;
  bool preload = false;
  bool required = false;  // a preload that fails is the manager's failure
  // Run once after a preload, so that the first request finds everything touched; empty: none.
  std::string warm_up;
};

// A plain value.
struct ConfigFile {
  ResidencyOptions residency;
  std::optional<std::filesystem::path> cache_dir;
  std::vector<DeclaredModel> models;  // in the order of the file

  // Unknown keys, wrong types, values out of range, a repeated id and text that is no TOML are
  // kInvalidArgument with `name`, line and column ("mdsa.toml:3:1: ..."). `name` is for messages;
  // nothing is opened. At most 1 MiB.
  static Result<ConfigFile> Parse(std::string_view text, std::string_view name = "mdsa.toml");
  // kNotFound or kIo if it cannot be read; a cache_dir or a model source that begins with "./" or
  // "../" is relative to the file's folder.
  static Result<ConfigFile> Read(const std::filesystem::path& path);
};

}  // namespace mdsa
