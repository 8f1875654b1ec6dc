// ModelLoader::Load, with the machine's free memory asked of the caller and calls paid for; and
// what a load needs, before it is begun.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/function_ref.h"
#include "base/memory_account.h"
#include "mdsa/model_loader.h"
#include "mdsa/result.h"

namespace mdsa {

// Bytes that this process may still take, container limits included; nullopt if the system does not
// say.
using MemoryProbe = FunctionRef<std::optional<std::uint64_t>()>;
std::optional<std::uint64_t> AvailableMemory();

// As ModelLoader::Load. `available` is asked once the checkpoint is described and before anything
// large is allocated. `account` pays for the calls of the model; null: nobody does.
Result<std::shared_ptr<Model>> LoadModel(const ModelConfig& config, const LoadOptions& options,
                                         const std::filesystem::path& cache_dir,
                                         MemoryProbe available,
                                         std::shared_ptr<MemoryAccount> account = nullptr);

// What a load will take and leave.
struct LoadNeeds {
  MemoryEstimate estimate;
  std::uint64_t call_bytes = 0;  // Model::call_bytes() of the model
  std::uint64_t load_bytes = 0;  // allocated at the peak of the load; pages of the files are not
  std::string device;            // that the model will compute on: "cpu"
};

// Reads what ModelLoader::EstimateMemory reads, and allocates next to nothing. Errors as of Load;
// a model that is not on this machine is kNotFound. `threads` as in LoadOptions. Thread-safe.
Result<LoadNeeds> DescribeLoad(const ModelConfig& config, const std::filesystem::path& cache_dir,
                               int threads);

}  // namespace mdsa
