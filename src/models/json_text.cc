#include "models/json_text.h"

#include <optional>

#include "base/error.h"

namespace mdsa {
namespace {

constexpr int kMaxDepth = 64;

// The offset of the bracket that opens one level too many.
std::optional<std::size_t> TooDeepAt(std::string_view text) {
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
      if (++depth > kMaxDepth) return i;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<OrderedJson> ParseJsonText(std::string_view text) {
  if (const auto offset = TooDeepAt(text)) {
    return Err(ErrorCode::kInvalidArgument, "JSON is nested deeper than {} levels at byte {}",
               kMaxDepth, *offset);
  }
  try {
    return OrderedJson::parse(text);
  } catch (const OrderedJson::parse_error& error) {
    return Err(ErrorCode::kInvalidArgument, "no JSON: unexpected text at byte {}", error.byte);
  } catch (const OrderedJson::exception&) {
    return Err(ErrorCode::kInvalidArgument, "no JSON: a number is out of range");
  }
}

}  // namespace mdsa
