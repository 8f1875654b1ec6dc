#include "formats/json.h"

#include <algorithm>

#include "base/error.h"
#include "formats/printable.h"

namespace mdsa {

using simdjson::dom::element;
using simdjson::dom::element_type;

std::string_view JsonTypeName(element value) {
  switch (value.type()) {
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    case element_type::INT64:
    case element_type::UINT64:
      return "an integer";
    case element_type::DOUBLE:
      return "a floating-point number";
    case element_type::STRING:
      return "a string";
    case element_type::BOOL:
      return "a boolean";
    case element_type::NULL_VALUE:
      return "null";
  }
  return "an unknown value";
}

std::optional<element> JsonObject::Find(std::string_view key) const {
  std::optional<element> found;
  for (const simdjson::dom::key_value_pair field : object_) {
    if (field.key == key) found = field.value;
  }
  if (found && found->is_null()) return std::nullopt;
  return found;
}

std::string JsonObject::Where(std::string_view key) const {
  return "key " + Printable(path_.empty() ? std::string(key) : path_ + "." + std::string(key));
}

std::unexpected<Error> JsonObject::WrongType(std::string_view key, std::string_view expected,
                                             element found) const {
  return Err(ErrorCode::kInvalidFormat, "{}: expected {}, found {}", Where(key), expected,
             JsonTypeName(found));
}

Result<std::optional<std::int64_t>> JsonObject::Integer(std::string_view key, std::int64_t min,
                                                        std::int64_t max) const {
  const std::optional<element> value = Find(key);
  if (!value) return std::nullopt;
  if (value->type() == element_type::UINT64) {  // only numbers above int64 have this type
    return Err(ErrorCode::kInvalidFormat, "{}: {} is outside {}..{}", Where(key),
               std::uint64_t(*value), min, max);
  }
  std::int64_t number;
  if (value->type() != element_type::INT64 || value->get(number) != simdjson::SUCCESS) {
    return WrongType(key, "an integer", *value);
  }
  if (number < min || number > max) {
    return Err(ErrorCode::kInvalidFormat, "{}: {} is outside {}..{}", Where(key), number, min, max);
  }
  return number;
}

Result<std::int64_t> JsonObject::IntegerOr(std::string_view key, std::int64_t absent,
                                           std::int64_t min, std::int64_t max) const {
  MDSA_ASSIGN(const std::optional<std::int64_t> value, Integer(key, min, max));
  return value.value_or(absent);
}

Result<std::optional<double>> JsonObject::Number(std::string_view key) const {
  const std::optional<element> value = Find(key);
  if (!value) return std::nullopt;
  double number;
  if (value->get(number) != simdjson::SUCCESS) return WrongType(key, "a number", *value);
  return number;
}

Result<double> JsonObject::NumberOr(std::string_view key, double absent) const {
  MDSA_ASSIGN(const std::optional<double> value, Number(key));
  return value.value_or(absent);
}

Result<bool> JsonObject::BoolOr(std::string_view key, bool absent) const {
  const std::optional<element> value = Find(key);
  if (!value) return absent;
  bool flag;
  if (value->get(flag) != simdjson::SUCCESS) return WrongType(key, "a boolean", *value);
  return flag;
}

Result<std::optional<std::string_view>> JsonObject::String(std::string_view key) const {
  const std::optional<element> value = Find(key);
  if (!value) return std::nullopt;
  std::string_view text;
  if (value->get(text) != simdjson::SUCCESS) return WrongType(key, "a string", *value);
  return text;
}

Result<std::optional<JsonObject>> JsonObject::Object(std::string_view key) const {
  const std::optional<element> value = Find(key);
  if (!value) return std::nullopt;
  simdjson::dom::object object;
  if (value->get(object) != simdjson::SUCCESS) return WrongType(key, "an object", *value);
  return JsonObject(object, path_.empty() ? std::string(key) : path_ + "." + std::string(key));
}

Result<std::optional<simdjson::dom::array>> JsonObject::Array(std::string_view key) const {
  const std::optional<element> value = Find(key);
  if (!value) return std::nullopt;
  simdjson::dom::array array;
  if (value->get(array) != simdjson::SUCCESS) return WrongType(key, "an array", *value);
  return array;
}

std::optional<std::string_view> JsonObject::DuplicateKey() const {
  std::vector<std::string_view> keys;
  for (const simdjson::dom::key_value_pair field : object_) keys.push_back(field.key);
  std::ranges::sort(keys);
  const auto twin = std::ranges::adjacent_find(keys);
  if (twin == keys.end()) return std::nullopt;
  return *twin;
}

Result<JsonDocument> JsonDocument::Parse(std::string_view text) {
  if (text.empty()) return Err(ErrorCode::kInvalidFormat, "not valid JSON: the text is empty");
  auto parser = std::make_unique<simdjson::dom::parser>();
  element root;
  // Copies into the parser's padded buffer: simdjson reads beyond the end of its input.
  const simdjson::error_code error =
      parser->parse(text.data(), text.size(), /*realloc_if_needed=*/true).get(root);
  if (error == simdjson::MEMALLOC || error == simdjson::CAPACITY) {
    return Err(ErrorCode::kResourceExhausted, "no memory to parse {} bytes of JSON", text.size());
  }
  if (error != simdjson::SUCCESS) {
    return Err(ErrorCode::kInvalidFormat, "not valid JSON ({} bytes): {}", text.size(),
               simdjson::error_message(error));
  }
  return JsonDocument(std::move(parser), root);
}

Result<JsonObject> JsonDocument::RootObject() const {
  simdjson::dom::object object;
  if (root_.get(object) != simdjson::SUCCESS) {
    return Err(ErrorCode::kInvalidFormat, "expected an object at the top, found {}",
               JsonTypeName(root_));
  }
  return JsonObject(object, "");
}

Result<simdjson::dom::array> JsonDocument::RootArray() const {
  simdjson::dom::array array;
  if (root_.get(array) != simdjson::SUCCESS) {
    return Err(ErrorCode::kInvalidFormat, "expected an array at the top, found {}",
               JsonTypeName(root_));
  }
  return array;
}

}  // namespace mdsa
