// Building blocks of the commands' options.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace mdsa::cli {

// CLI11 splits an argument like "[a, b]" into a list. No argument of a process can hold a NUL, so
// one at the end marks those to be taken as they are; AsWritten removes it from what an option
// receives.
void ProtectBrackets(std::vector<std::string>& arguments);
CLI::Option* AsWritten(CLI::Option* option);

// Checks of numbers; the message names the option and what it takes.
CLI::Validator Whole(std::int64_t min, std::int64_t max = std::numeric_limits<std::int64_t>::max());
// In [min, max], or (min, max] if `min_excluded`, [min, max) if `max_excluded`. Rejects NaN.
struct RealRange {
  double min = 0.0;
  double max = std::numeric_limits<double>::infinity();
  bool min_excluded = false;
  bool max_excluded = false;
};
CLI::Validator Real(RealRange range);

// Adds --json, which also decides how errors are shown.
void AddJsonFlag(CLI::App& command, bool& json);

}  // namespace mdsa::cli
