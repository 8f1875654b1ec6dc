#include "hardware/cgroup.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/proc_files.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;

// Version 1 writes "no limit" as the largest multiple of the page size; nothing real comes near.
constexpr std::uint64_t kNoMemoryLimit = std::uint64_t{1} << 60;

// Names of one version's files for memory.
struct MemoryFiles {
  const char* limit;
  const char* usage;
  // In memory.stat: the file-backed pages of the whole subtree, which the kernel drops at need.
  std::string_view inactive_cache;
  std::string_view active_cache;
};
constexpr MemoryFiles kMemoryV1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                   "total_inactive_file", "total_active_file"};
constexpr MemoryFiles kMemoryV2 = {"memory.max", "memory.current", "inactive_file", "active_file"};

template <typename T>
void Tighten(std::optional<T>& limit, std::optional<T> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

std::uint64_t PageCache(std::string_view stat, const MemoryFiles& files) {
  std::uint64_t cache = 0;
  for (const std::string_view line : Lines(stat)) {
    const std::vector<std::string_view> words = Words(line);
    if (words.size() != 2) continue;
    if (words[0] != files.inactive_cache && words[0] != files.active_cache) continue;
    const std::uint64_t bytes = ParseCount(words[1]).value_or(0);
    if (bytes < kNoMemoryLimit) cache += bytes;
  }
  return cache;
}

void ReadMemory(const fs::path& group, const MemoryFiles& files, CgroupLimits& limits) {
  const std::optional<std::uint64_t> limit = ParseCount(ReadText(group / files.limit));
  if (!limit || *limit >= kNoMemoryLimit) return;
  Tighten(limits.memory_bytes, limit);
  const std::optional<std::uint64_t> usage = ParseCount(ReadText(group / files.usage));
  if (!usage) return;
  const std::uint64_t cache = std::min(PageCache(ReadText(group / "memory.stat"), files), *usage);
  const std::uint64_t used = *usage - cache;
  Tighten<std::uint64_t>(limits.available_bytes, *limit > used ? *limit - used : 0);
}

std::optional<double> Quota(std::optional<std::uint64_t> quota,
                            std::optional<std::uint64_t> period) {
  if (!quota || !period || *quota == 0 || *period == 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

void ReadCpuV1(const fs::path& group, CgroupLimits& limits) {
  // A quota of -1 means none, and is no count.
  Tighten(limits.cpus, Quota(ParseCount(ReadText(group / "cpu.cfs_quota_us")),
                             ParseCount(ReadText(group / "cpu.cfs_period_us"))));
}

void ReadCpuV2(const fs::path& group, CgroupLimits& limits) {
  const std::string text = ReadText(group / "cpu.max");
  const std::vector<std::string_view> lines = Lines(text);
  if (lines.empty()) return;
  const std::vector<std::string_view> words = Words(lines[0]);
  if (words.size() != 2) return;
  Tighten(limits.cpus, Quota(ParseCount(words[0]), ParseCount(words[1])));
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool Contains(const std::vector<std::string_view>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// One mounted hierarchy, from a line of mountinfo: "31 23 0:28 ROOT MOUNT_POINT options... - TYPE
// source SUPER_OPTIONS".
struct Hierarchy {
  fs::path root;         // the group that is mounted
  fs::path mount_point;  // where
  bool version2 = false;
  std::vector<std::string_view> controllers;  // version 1
};

std::optional<Hierarchy> ParseMount(std::string_view line) {
  const std::vector<std::string_view> words = Words(line);
  const auto dash = std::find(words.begin(), words.end(), "-");
  if (dash - words.begin() < 6 || words.end() - dash < 4) return std::nullopt;
  if (dash[1] != "cgroup" && dash[1] != "cgroup2") return std::nullopt;
  return Hierarchy{fs::path(words[3]), fs::path(words[4]), dash[1] == "cgroup2",
                   Split(dash[3], ',')};
}

// One line of /proc/self/cgroup: "4:memory:/docker/ab" (version 1) or "0::/user.slice".
struct Membership {
  std::vector<std::string_view> controllers;  // empty: version 2
  fs::path group;
};

std::optional<Membership> ParseMembership(std::string_view line) {
  const std::size_t first = line.find(':');
  if (first == std::string_view::npos) return std::nullopt;
  const std::size_t second = line.find(':', first + 1);
  if (second == std::string_view::npos || !line.substr(second + 1).starts_with('/')) {
    return std::nullopt;
  }
  Membership membership{{}, fs::path(line.substr(second + 1))};
  const std::string_view controllers = line.substr(first + 1, second - first - 1);
  if (!controllers.empty()) membership.controllers = Split(controllers, ',');
  return membership;
}

// The folders from the mount down to the process's group, as seen under `root`. A container often
// mounts its own group as the hierarchy's root while /proc/self/cgroup still gives the host's path:
// that prefix is taken off, and a path outside of it leaves the mount itself.
std::vector<fs::path> Levels(const fs::path& root, const Hierarchy& mount, const fs::path& group) {
  fs::path level = root / mount.mount_point.relative_path();
  std::vector<fs::path> levels = {level};
  const fs::path below = group.lexically_relative(mount.root);
  if (below.empty() || *below.begin() == "..") return levels;
  for (const fs::path& part : below) {
    if (part == ".") continue;
    level /= part;
    levels.push_back(level);
  }
  return levels;
}

void ReadHierarchy(const fs::path& root, const Hierarchy& mount,
                   const std::vector<Membership>& memberships, CgroupLimits& limits) {
  for (const Membership& membership : memberships) {
    const bool version2 = membership.controllers.empty();
    if (version2 != mount.version2) continue;
    if (!version2 && !Contains(mount.controllers, membership.controllers.front())) continue;
    for (const fs::path& level : Levels(root, mount, membership.group)) {
      if (version2) {
        ReadMemory(level, kMemoryV2, limits);
        ReadCpuV2(level, limits);
        continue;
      }
      if (Contains(membership.controllers, "memory")) ReadMemory(level, kMemoryV1, limits);
      if (Contains(membership.controllers, "cpu")) ReadCpuV1(level, limits);
    }
  }
}

}  // namespace

CgroupLimits ReadCgroupLimits(const fs::path& root) {
  const std::string groups = ReadText(root / "proc/self/cgroup");
  const std::string mounts = ReadText(root / "proc/self/mountinfo");
  std::vector<Membership> memberships;
  for (const std::string_view line : Lines(groups)) {
    if (auto membership = ParseMembership(line)) memberships.push_back(*std::move(membership));
  }
  CgroupLimits limits;
  for (const std::string_view line : Lines(mounts)) {
    if (const auto mount = ParseMount(line)) ReadHierarchy(root, *mount, memberships, limits);
  }
  return limits;
}

}  // namespace mdsa
