// Ops on the processor: kernels over one thread pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/thread_pool.h"
#include "engine/ops.h"

namespace mdsa::engine {

// Ops::ScratchBytes of a pool of this many threads. Absurd sizes give more than any machine has.
std::size_t CpuScratchBytes(const ArchitectureConfig& config, std::int64_t max_rows, int threads);

// Thread-safe.
std::unique_ptr<const Ops> MakeCpuOps(std::shared_ptr<ThreadPool> pool);

}  // namespace mdsa::engine
