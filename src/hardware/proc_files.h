// Readers of the text files in which Linux describes a machine. They take text, never paths, and
// leave at its default what the text does not say.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mdsa {

struct CpuInfo {
  std::string model;
  int logical_cores = 0;   // 0: unknown
  int physical_cores = 0;  // 0: unknown
  // Of the first processor, in the order of the file: "flags" of x86, "Features" of Arm.
  std::vector<std::string> features;
};
// /proc/cpuinfo.
CpuInfo ParseCpuInfo(std::string_view text);

struct HostMemory {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;  // page cache counts as available
};
// /proc/meminfo. A kernel without MemAvailable: free memory, buffers and cache together.
HostMemory ParseMemInfo(std::string_view text);

// A whole non-negative decimal number with blanks around it, else nullopt.
std::optional<std::uint64_t> ParseCount(std::string_view text);

// The lines of `text`, without their ends.
std::vector<std::string_view> Lines(std::string_view text);
// The words of `line`, parted by blanks and tabs.
std::vector<std::string_view> Words(std::string_view line);

// The contents of a small text file; empty if it cannot be read.
std::string ReadText(const std::filesystem::path& path);

}  // namespace mdsa
