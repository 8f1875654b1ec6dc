// Ops on the processor: kernels over one thread pool.
#pragma once

#include <memory>

#include "base/thread_pool.h"
#include "engine/ops.h"

namespace mdsa::engine {

// Thread-safe.
std::unique_ptr<const Ops> MakeCpuOps(std::shared_ptr<ThreadPool> pool);

}  // namespace mdsa::engine
