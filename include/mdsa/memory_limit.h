// A limit in bytes as people write it: absolute, or a share of what the machine has.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "mdsa/result.h"

namespace mdsa {

// A plain value. Thread-compatible.
class MemoryLimit {
 public:
  static MemoryLimit Bytes(std::uint64_t bytes) { return MemoryLimit(bytes); }
  // kInvalidArgument unless 0 < share <= 1.
  static Result<MemoryLimit> Share(double share);
  // "750MB" (1,000,000 bytes each), "8GiB" (2^30), "6.5 GB", "4096" (bytes), "70%". Units: B, kB,
  // MB, GB, TB, KiB, MiB, GiB, TiB, in any case, blanks around them. kInvalidArgument says what was
  // expected; 0 and what exceeds 2^63 bytes are refused.
  static Result<MemoryLimit> Parse(std::string_view text);

  bool is_share() const { return std::holds_alternative<double>(value_); }
  // In bytes. `total_bytes` is what the machine has (HardwareInfo::total_memory_bytes: the smaller
  // of the host's and the container's). kFailedPrecondition for a share where that is 0, unknown.
  Result<std::uint64_t> Resolve(std::uint64_t total_bytes) const;
  // As Parse reads it: "70%" or a number of bytes.
  std::string ToString() const;

  bool operator==(const MemoryLimit&) const = default;

 private:
  explicit MemoryLimit(std::variant<std::uint64_t, double> value) : value_(value) {}

  std::variant<std::uint64_t, double> value_;
};

}  // namespace mdsa
