#include "mdsa/model_loader.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/callback.h"
#include "base/error.h"
#include "engine/load.h"
#include "hardware/host.h"
#include "kernels/dispatch.h"
#include "mdsa/hardware.h"
#include "models/cache_dir.h"
#include "models/checkpoint.h"
#include "models/compute_pool.h"
#include "models/load_model.h"
#include "models/memory_estimate.h"
#include "models/model_path.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxLoadThreads = 1024;

std::unexpected<Error> ForModel(const ModelConfig& config, Error error) {
  return std::unexpected(std::move(error).AddContext(fmt::format("model '{}'", config.model_name)));
}

// The device that a model of this config computes on. Asking the driver for devices takes longer
// than opening a checkpoint, so only who wants one waits.
Result<std::string> DeviceOf(const ModelConfig& config) {
  const bool needs_devices = config.device != "auto" && config.device != "cpu";
  return ResolveDevice(config.device, needs_devices ? DetectHardware() : HardwareInfo{});
}

// nullptr if the checkpoint has none.
Result<std::shared_ptr<const Tokenizer>> TokenizerOf(const Checkpoint& checkpoint) {
  auto tokenizer = checkpoint.LoadTokenizer();
  if (!tokenizer && tokenizer.error().code() == ErrorCode::kNotFound) return nullptr;
  return tokenizer;
}

bool IsPathLike(std::string_view model_name) {
  return model_name.starts_with('/') || model_name.starts_with('.') ||
         model_name.starts_with('~') || model_name.ends_with(".gguf") ||
         std::ranges::count(model_name, '/') > 1;
}

// Everything that can be said before a file is opened; the device.
Result<std::string> Check(const ModelConfig& config, int threads) {
  MDSA_TRY(config.Validate());
  if (threads < 0 || threads > kMaxLoadThreads) {
    return Err(ErrorCode::kInvalidArgument, "threads must be from 0 to {}, not {}", kMaxLoadThreads,
               threads);
  }
  MDSA_TRY(kernels::CheckEnvironmentTarget());
  return DeviceOf(config);
}

Result<Checkpoint> OpenCheckpoint(const ModelConfig& config, const fs::path& cache_dir) {
  MDSA_ASSIGN(const fs::path path,
              ResolveModelPath(config.model_name, CacheSearchPath(config.cache_dir, cache_dir)));
  return Checkpoint::Open(path);
}

// A swapping or killed process would take all other models with it.
Status CheckMemory(const Checkpoint& checkpoint, const ModelConfig& config, int threads,
                   MemoryProbe available) {
  MDSA_ASSIGN(const std::uint64_t needed, LoadBytes(checkpoint, config, threads));
  const std::optional<std::uint64_t> free = available();
  if (!free || needed <= *free) return {};
  return Err(
      ErrorCode::kResourceExhausted,
      "Insufficient memory: the model needs about {:.0f} MB, {:.0f} MB are available; unload "
      "other models or choose a smaller quantization (int4 is the smallest)",
      static_cast<double>(needed) / 1e6, static_cast<double>(*free) / 1e6);
}

int LoadThreads(const LoadOptions& options, const ThreadPool& compute) {
  return options.threads > 0 ? options.threads : compute.threads();
}

Result<std::shared_ptr<Model>> BuildFrom(const Checkpoint& checkpoint, const ModelConfig& config,
                                         const LoadOptions& options,
                                         std::shared_ptr<ThreadPool> compute,
                                         std::shared_ptr<MemoryAccount> account) {
  const std::uint64_t total = checkpoint.source_bytes();
  if (options.on_progress) {
    MDSA_TRY(
        CallApplication("progress callback", [&] { options.on_progress({"read", 0, total}); }));
  }
  engine::BuildInput input;
  MDSA_ASSIGN(input.tokenizer, TokenizerOf(checkpoint));
  input.tensors = checkpoint.tensors();
  input.config = checkpoint.config();
  input.pooling = checkpoint.pooling();
  input.weights = WeightOptionsOf(config);
  input.max_length = config.max_length;
  input.batch_size = config.batch_size;
  input.load_threads = LoadThreads(options, *compute);
  input.account = std::move(account);
  input.compute = std::move(compute);
  input.stop = options.stop;
  if (options.on_progress) {
    input.on_progress = [&options, total](std::uint64_t bytes_done) {
      options.on_progress({"convert", bytes_done, total});
    };
  }
  auto model = engine::BuildModel(std::move(input));
  if (!model) {
    return std::unexpected(std::move(model).error().AddContext(checkpoint.path().string()));
  }
  return model;
}

Result<std::shared_ptr<Model>> Load(const ModelConfig& config, const LoadOptions& options,
                                    const fs::path& cache_dir, MemoryProbe available,
                                    std::shared_ptr<MemoryAccount> account) {
  MDSA_TRY(Check(config, options.threads));
  MDSA_ASSIGN(auto compute, SharedComputePool());
  if (options.stop.stop_requested()) {
    return Err(ErrorCode::kCancelled, "the load was cancelled");
  }
  MDSA_ASSIGN(const Checkpoint checkpoint, OpenCheckpoint(config, cache_dir));
  MDSA_TRY(CheckMemory(checkpoint, config, LoadThreads(options, *compute), available));
  return BuildFrom(checkpoint, config, options, std::move(compute), std::move(account));
}

Result<LoadNeeds> Describe(const ModelConfig& config, const fs::path& cache_dir, int threads) {
  LoadNeeds needs;
  MDSA_ASSIGN(needs.device, Check(config, threads));
  MDSA_ASSIGN(const int compute_threads, ComputeThreads());
  const int load_threads = threads > 0 ? threads : compute_threads;
  MDSA_ASSIGN(const Checkpoint checkpoint, OpenCheckpoint(config, cache_dir));
  if (auto checked = engine::CheckArchitecture(checkpoint.config()); !checked) {
    return std::unexpected(std::move(checked).error().AddContext(checkpoint.path().string()));
  }
  MDSA_ASSIGN(needs.estimate,
              EstimateFromCheckpoint(checkpoint, config, compute_threads, load_threads));
  MDSA_ASSIGN(needs.load_bytes, LoadBytes(checkpoint, config, load_threads));
  needs.call_bytes = CallBytes(checkpoint, config, compute_threads);
  return needs;
}

Result<MemoryEstimate> Estimate(const ModelConfig& config, const fs::path& cache_dir) {
  MDSA_TRY(config.Validate());
  auto path = ResolveModelPath(config.model_name, CacheSearchPath(config.cache_dir, cache_dir));
  if (!path) {
    // A mistyped path would get a guess that has nothing to do with the file that was meant.
    const bool may_guess =
        path.error().code() == ErrorCode::kNotFound && !IsPathLike(config.model_name);
    if (may_guess) return EstimateFromName(config);
    return std::unexpected(std::move(path).error());
  }
  MDSA_ASSIGN(const Checkpoint checkpoint, Checkpoint::Open(*path));
  MDSA_ASSIGN(const int threads, ComputeThreads());
  return EstimateFromCheckpoint(checkpoint, config, threads, threads);
}

}  // namespace

std::optional<std::uint64_t> AvailableMemory() {
  const HardwareInfo host = DescribeHost("/", 1);
  if (host.total_memory_bytes == 0) return std::nullopt;
  return host.available_memory_bytes;
}

Result<std::shared_ptr<Model>> LoadModel(const ModelConfig& config, const LoadOptions& options,
                                         const fs::path& cache_dir, MemoryProbe available,
                                         std::shared_ptr<MemoryAccount> account) {
  auto model = Load(config, options, cache_dir, available, std::move(account));
  if (!model) return ForModel(config, std::move(model).error());
  return model;
}

Result<LoadNeeds> DescribeLoad(const ModelConfig& config, const fs::path& cache_dir, int threads) {
  auto needs = Describe(config, cache_dir, threads);
  if (!needs) return ForModel(config, std::move(needs).error());
  return needs;
}

ModelLoader::ModelLoader(std::optional<fs::path> cache_dir)
    : cache_dir_(cache_dir ? ExpandHome(cache_dir->native()) : DefaultCacheDir()) {}

Result<std::shared_ptr<Model>> ModelLoader::Load(const ModelConfig& config,
                                                 const LoadOptions& options) const {
  return LoadModel(config, options, cache_dir_, [] { return AvailableMemory(); });
}

Result<MemoryEstimate> ModelLoader::EstimateMemory(const ModelConfig& config) const {
  auto estimate = Estimate(config, cache_dir_);
  if (!estimate) return ForModel(config, std::move(estimate).error());
  return estimate;
}

}  // namespace mdsa
