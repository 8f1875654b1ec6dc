// The safetensors container: bytes in, a description out.
//
// Layout: u64 little-endian N, N bytes of JSON (one entry a tensor), then the tensors' data.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "formats/tensor_source.h"
#include "mdsa/result.h"

namespace mdsa {

// Views into the file's bytes. Thread-compatible.
struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;                            // in the order of their data
  std::vector<std::pair<std::string, std::string>> metadata;  // "__metadata__"
};

// The longest header that is read, as in the reference reader.
inline constexpr std::size_t kMaxSafetensorsHeaderBytes = 100'000'000;

// Accepts what the reference reader (safetensors 0.8) accepts, except that any duplicate key is an
// error. Every byte after the header belongs to exactly one tensor. Errors name the tensor and the
// byte offset in the file; kUnsupported names an element type of the format that mdsa cannot hold.
Result<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file);

}  // namespace mdsa
