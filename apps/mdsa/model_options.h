// The options that say which model to load and how, and the load itself.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "console.h"
#include "failure.h"
#include "mdsa/model.h"
#include "mdsa/model_config.h"
#include "mdsa/model_loader.h"

namespace mdsa::cli {

struct ModelOptions {
  std::string model;
  std::string quantization = "none";
  std::int64_t max_length = 0;  // 0: the model's context
  std::int64_t batch_size = 32;
  int threads = 0;
  std::optional<std::string> cache_dir;

  ModelConfig Config() const;
};

// MODEL and --cache-dir.
void AddModelArgument(CLI::App& command, ModelOptions& options);
// --quantization, limited to the names there are.
CLI::Option* AddQuantizationOption(CLI::App& command, std::string& quantization);
// --threads and --max-length.
void AddLoadOptions(CLI::App& command, ModelOptions& options);

struct LoadedModel {
  std::shared_ptr<const Model> model;
  double seconds = 0.0;
};

// Loads with a progress bar. The failure of a model that cannot be found says what MODEL may be.
std::expected<LoadedModel, Failure> LoadModel(const ModelOptions& options, const Console& console,
                                              std::stop_token stop);

// The hint for a model that could not be loaded or read; may be empty.
std::string ModelHint(const Error& error, const ModelOptions& options);

}  // namespace mdsa::cli
