// For tests: what this process really takes, asked of the allocator and of the system.
#pragma once

#include <cstddef>
#include <cstdlib>  // defines __GLIBC__ where it is one
#include <fstream>
#include <string>
#include <string_view>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace mdsa::test {

// A sanitizer brings its own heap, shadows and quarantine: what is measured says nothing then.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
inline constexpr bool kMemoryIsMeasurable = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kMemoryIsMeasurable = false;
#else
inline constexpr bool kMemoryIsMeasurable = true;
#endif
#else
inline constexpr bool kMemoryIsMeasurable = true;
#endif

// Bytes of all blocks of the heap that are in use, those with pages of their own included.
inline std::size_t HeapInUse() {
#ifdef __GLIBC__
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

// A line of /proc/self/status in bytes: "VmRSS", "VmHWM".
inline std::size_t ProcessBytes(std::string_view name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name)) return std::stoull(line.substr(name.size() + 1)) * 1024;
  }
  return 0;
}

// VmHWM counts from here.
inline void ResetPeak() { std::ofstream("/proc/self/clear_refs") << 5; }

}  // namespace mdsa::test
