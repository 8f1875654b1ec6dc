#include "models/json_text.h"

#include <optional>

#include "base/error.h"

namespace mdsa {
namespace {

// The offset of the bracket that opens one level too many.
std::optional<std::size_t> TooDeepAt(std::string_view text, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_depth) return i;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<Json> ParseJsonText(std::string_view text, int max_depth) {
  if (const auto offset = TooDeepAt(text, max_depth)) {
    return Err(ErrorCode::kInvalidArgument, "JSON is nested deeper than {} levels at byte {}",
               max_depth, *offset);
  }
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    return Err(ErrorCode::kInvalidArgument, "no JSON: unexpected text at byte {}", error.byte);
  } catch (const Json::exception&) {
    return Err(ErrorCode::kInvalidArgument, "no JSON: a number is out of range");
  }
}

}  // namespace mdsa
