// The threads that compute, shared by all models of the process: two models that answer at once
// would only slow each other down with a set of threads each.
#pragma once

#include <memory>
#include <string_view>

#include "base/thread_pool.h"
#include "mdsa/result.h"

namespace mdsa {

// What the environment variable MDSA_NUM_THREADS says (kInvalidArgument if it is no number from 1
// to 1024), else one for each core that the process may use. Thread-safe.
Result<int> ComputeThreads();

// A pool of ComputeThreads(). Its size is settled when the first model is loaded, for as long as
// any is. Thread-safe.
Result<std::shared_ptr<ThreadPool>> SharedComputePool();

// The value of MDSA_NUM_THREADS. kInvalidArgument unless it is a number from 1 to 1024.
Result<int> ParseThreadCount(std::string_view text);

}  // namespace mdsa
