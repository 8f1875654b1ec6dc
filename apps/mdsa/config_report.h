// What a configuration file means on this machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mdsa/config_file.h"
#include "mdsa/model_loader.h"

namespace mdsa::cli {

// A model of the file, as it would be loaded here.
struct ModelReport {
  std::optional<std::filesystem::path> path;  // nullopt: not found
  std::optional<MemoryEstimate> memory;       // of what was found and can be read
};

struct ConfigReport {
  ConfigFile file;
  std::vector<ModelReport> models;  // of file.models
  std::uint64_t machine_bytes = 0;  // that a share is of; 0: not known
  std::optional<std::uint64_t> max_memory_bytes;
  // What the file says and this machine cannot do, or the limits do not allow.
  std::vector<Error> warnings;
};

// Reads headers of models, no weights. Nothing is loaded.
ConfigReport ReportOn(ConfigFile file);

// For --json, and for people.
std::string ReportJson(const std::string& name, const ConfigReport& report);
std::string ReportText(const ConfigReport& report);

}  // namespace mdsa::cli
