// What a Linux container lets this process use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace mdsa {

// nullopt: no limit, or none that can be read.
struct CgroupLimits {
  std::optional<double> cpus;  // quota divided by period
  std::optional<std::uint64_t> memory_bytes;
  // The least that any limited level has left, with its page cache counted as free.
  std::optional<std::uint64_t> available_bytes;
};

// Follows /proc/self/cgroup and /proc/self/mountinfo under `root` ("/" on a real machine) through
// every version 1 and version 2 hierarchy, and takes the tightest limit of all levels from the
// process's own group up to the mount: a nested group can be narrowed at any of them. Damaged files
// count as no limit. Thread-safe.
CgroupLimits ReadCgroupLimits(const std::filesystem::path& root);

}  // namespace mdsa
