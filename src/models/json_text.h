// JSON from callers, read without surprises.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "mdsa/result.h"

namespace mdsa {

// Sorted keys, as transformers writes them. The type that keeps their order looks at all keys for
// each one it adds, so a hostile file of a few megabytes would take minutes.
using Json = nlohmann::json;

inline constexpr int kMaxJsonDepth = 64;

// kInvalidArgument with the byte offset, also for text nested deeper than `max_depth` levels: the
// library's writer recurses, so depth must be bounded before a value is kept.
Result<Json> ParseJsonText(std::string_view text, int max_depth = kMaxJsonDepth);

}  // namespace mdsa
