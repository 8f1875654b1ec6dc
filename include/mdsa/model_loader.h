// Makes a model from a checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>

#include "mdsa/model.h"
#include "mdsa/model_config.h"
#include "mdsa/result.h"

namespace mdsa {

struct LoadProgress {
  std::string_view phase;        // "read" (headers, tokenizer), "convert" (weights)
  std::uint64_t bytes_done = 0;  // of the source
  std::uint64_t bytes_total = 0;
};
// Called from loading threads, one call at a time, bytes_done never falling. What it throws ends
// the load as kInternal.
using ProgressSink = std::function<void(const LoadProgress&)>;

struct LoadOptions {
  ProgressSink on_progress;
  std::stop_token stop;  // looked at before every tensor
  int threads = 0;       // 0: as many as compute, see ModelLoader::Load; at most 1024
};

struct MemoryEstimate {
  std::uint64_t weights_bytes = 0;       // packed
  std::uint64_t mapped_bytes = 0;        // of those: computed on where the file has them
  std::uint64_t tokenizer_bytes = 0;     // 0 without one
  std::uint64_t kv_bytes_per_token = 0;  // 0 for encoders
  std::uint64_t kv_bytes = 0;            // for config.max_length tokens
  std::uint64_t scratch_bytes = 0;       // activations of one call, kernel scratch among them
  // Of the process while it loads the model, beside what it had before: weights, tokenizer, and
  // what converting and parsing need. Never less than is measured.
  std::uint64_t peak_load_bytes = 0;
  // No file at hand: weights alone, from the parameter count that the name suggests.
  bool approximate = false;
  std::uint64_t resident_bytes() const {
    return weights_bytes + tokenizer_bytes + kv_bytes + scratch_bytes;
  }
  // Resident megabytes of 1,000,000 bytes.
  double total_mb() const { return static_cast<double>(resident_bytes()) / 1e6; }
};

// Thread-safe: Load may run in many threads at once.
class ModelLoader {
 public:
  // cache_dir: where models named by Hub id are looked for, after the config's own cache_dir and
  // before the Hub's caches; a leading "~/" is the home folder. Default: $MDSA_HOME or ~/.mdsa, +
  // /models. Nothing is created.
  explicit ModelLoader(std::optional<std::filesystem::path> cache_dir = {});

  const std::filesystem::path& cache_dir() const { return cache_dir_; }

  // Blocks until the model is ready. Weights are read, converted and quantized tensor by tensor in
  // parallel; the full-precision model is never in memory as a whole. Errors name the model and the
  // file. All models compute on one set of threads, as many as the process may use cores, or as the
  // environment variable MDSA_NUM_THREADS says. kResourceExhausted, before anything large is
  // allocated, if the load needs more memory than this process may still take; loads at the same
  // time do not see each other's needs.
  Result<std::shared_ptr<Model>> Load(const ModelConfig& config,
                                      const LoadOptions& options = {}) const;

  // From headers, config and the counts of the tokenizer's files alone; never touches the network.
  // A Hub id that is not on this machine gets an approximate estimate from its name, a path that
  // does not exist is kNotFound.
  Result<MemoryEstimate> EstimateMemory(const ModelConfig& config) const;

 private:
  std::filesystem::path cache_dir_;
};

}  // namespace mdsa
