// JSON from callers, read without surprises.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "mdsa/result.h"

namespace mdsa {

using OrderedJson = nlohmann::ordered_json;  // keeps the order of keys

// kInvalidArgument with the byte offset, also for text nested deeper than 64 levels: the library's
// writer recurses, so depth must be bounded before a value is kept.
Result<OrderedJson> ParseJsonText(std::string_view text);

}  // namespace mdsa
