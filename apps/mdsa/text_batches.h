// The texts that embed and classify work on: arguments, or lines of standard input as they come.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "console.h"
#include "interrupt.h"
#include "mdsa/result.h"
#include "model_options.h"

namespace mdsa::cli {

// Not thread-safe. Views `texts` and `interrupt`.
class TextBatches {
 public:
  // No texts, or "-" alone: standard input, one text a line.
  TextBatches(const std::vector<std::string>& texts, const Interrupt& interrupt)
      : texts_(texts), interrupt_(interrupt) {}

  // Calls `work` with up to `batch_size` texts at a time until the end, an error, or until it
  // returns false (nobody reads the answers any more). kCancelled after an interrupt.
  Status ForEach(std::size_t batch_size,
                 const std::function<Result<bool>(std::span<const std::string>)>& work);

 private:
  const std::vector<std::string>& texts_;
  const Interrupt& interrupt_;
};

// kInvalidArgument when there is no text and standard input is a terminal.
Status CheckHasInput(const std::vector<std::string>& texts, const Console& console);

void AddTextsArgument(CLI::App& command, std::vector<std::string>& texts);
void AddBatchSizeOption(CLI::App& command, ModelOptions& options);

}  // namespace mdsa::cli
