// ModelLoader::Load, with the machine's free memory asked of the caller.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/function_ref.h"
#include "mdsa/model_loader.h"
#include "mdsa/result.h"

namespace mdsa {

// Bytes that this process may still take, container limits included; nullopt if the system does not
// say.
using MemoryProbe = FunctionRef<std::optional<std::uint64_t>()>;
std::optional<std::uint64_t> AvailableMemory();

// As ModelLoader::Load. `available` is asked once the checkpoint is described and before anything
// large is allocated.
Result<std::shared_ptr<Model>> LoadModel(const ModelConfig& config, const LoadOptions& options,
                                         const std::filesystem::path& cache_dir,
                                         MemoryProbe available);

}  // namespace mdsa
