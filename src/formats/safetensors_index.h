// model.safetensors.index.json: which shard holds which tensor.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mdsa/result.h"

namespace mdsa {

// A plain value. Thread-compatible.
struct SafetensorsIndex {
  std::vector<std::pair<std::string, std::string>> weight_map;  // tensor name, shard; as written
  std::vector<std::string> shards;                              // distinct, sorted
};

// Shard names are plain file names ending in ".safetensors": no separator, no "..", no control
// character, at most 255 bytes, so that an index cannot reach outside its folder. kInvalidFormat
// names the tensor whose entry is wrong.
Result<SafetensorsIndex> ParseSafetensorsIndex(std::string_view json);

}  // namespace mdsa
