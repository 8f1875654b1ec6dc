// What loading a model would do to those that are resident.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "mdsa/model_config.h"
#include "mdsa/residency.h"

namespace mdsa::cli {

struct ExplainReport {
  std::string config_file;  // empty: none
  ModelConfig config;       // of the model that is asked about
  ResidencyExplanation explanation;
  // Resident models of which no file is at hand: their sizes follow from their names.
  std::set<std::string, std::less<>> guessed;
  std::string note;  // may be empty
};

// For --json, and for people.
std::string ReportJson(const ExplainReport& report);
std::string ReportText(const ExplainReport& report);

}  // namespace mdsa::cli
