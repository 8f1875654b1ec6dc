#include "tokenizers/json_reader.h"

#include "tokenizers/utf8.h"

namespace mdsa {
namespace {

// Longest run of digits that always fits 64 bits.
constexpr std::size_t kMaxIntegerDigits = 18;

// `text` with ".0" after every integer that may not fit 64 bits: Python writes "no limit" as an
// integer of 31 digits, which JSON allows and simdjson refuses.
std::string WithLongIntegersAsReals(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    out.push_back(c);
    if (c == '"') in_string = !in_string;
    if (in_string && c == '\\' && i + 1 < text.size()) out.push_back(text[++i]);
    if (in_string || c < '0' || c > '9') continue;
    // The whole number, so that digits behind a point or in an exponent are not taken for one.
    const std::size_t end = std::min(text.find_first_not_of("0123456789.eE+-", i), text.size());
    const std::string_view number = text.substr(i, end - i);
    out.append(number.substr(1));
    const bool integer = number.find_first_not_of("0123456789") == std::string_view::npos;
    if (integer && number.size() > kMaxIntegerDigits) out.append(".0");
    i = end - 1;
  }
  return out;
}

}  // namespace

Result<JsonObject> JsonObject::From(simdjson::dom::element value, std::string path) {
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) {
    return Err(ErrorCode::kInvalidFormat, "'{}' is not an object", path);
  }
  return JsonObject(object, std::move(path));
}

std::unexpected<Error> JsonObject::WrongType(std::string_view key, std::string_view wanted) const {
  return Err(ErrorCode::kInvalidFormat, "'{}' is missing or not {}", PathOf(key), wanted);
}

std::optional<simdjson::dom::element> JsonObject::Get(std::string_view key) const {
  simdjson::dom::element value;
  if (object_.at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  return value;
}

Result<bool> JsonObject::Bool(std::string_view key, bool fallback) const {
  const auto value = Get(key);
  if (!value) return fallback;
  bool result;
  if (value->get(result) != simdjson::SUCCESS) return WrongType(key, "true or false");
  return result;
}

Result<std::string> JsonObject::String(std::string_view key, std::string_view fallback) const {
  return Get(key) ? RequiredString(key) : std::string(fallback);
}

Result<std::int64_t> JsonObject::Int(std::string_view key, std::int64_t fallback) const {
  return Get(key) ? RequiredInt(key) : fallback;
}

Result<std::string> JsonObject::RequiredString(std::string_view key) const {
  const auto value = Get(key);
  std::string_view text;
  if (!value || value->get(text) != simdjson::SUCCESS) return WrongType(key, "a string");
  return std::string(text);
}

Result<std::int64_t> JsonObject::RequiredInt(std::string_view key) const {
  const auto value = Get(key);
  std::int64_t number = 0;
  if (!value || value->get(number) != simdjson::SUCCESS) return WrongType(key, "an integer");
  return number;
}

Result<JsonObject> JsonObject::RequiredObject(std::string_view key) const {
  const auto value = Get(key);
  if (!value) return WrongType(key, "an object");
  return From(*value, PathOf(key));
}

Result<simdjson::dom::array> JsonObject::RequiredArray(std::string_view key) const {
  const auto value = Get(key);
  simdjson::dom::array array;
  if (!value || value->get(array) != simdjson::SUCCESS) return WrongType(key, "an array");
  return array;
}

Result<std::string> JsonObject::RequiredChar(std::string_view key) const {
  MDSA_ASSIGN(std::string text, RequiredString(key));
  if (CountChars(text) != 1) return WrongType(key, "a string of one character");
  return text;
}

Result<std::vector<JsonObject>> ObjectsOf(simdjson::dom::array array, const std::string& path) {
  std::vector<JsonObject> objects;
  for (const simdjson::dom::element value : array) {
    MDSA_ASSIGN(JsonObject object,
                JsonObject::From(value, fmt::format("{}[{}]", path, objects.size())));
    objects.push_back(std::move(object));
  }
  return objects;
}

std::unexpected<Error> UnsupportedType(const JsonObject& object, std::string_view type) {
  return Err(ErrorCode::kUnsupported,
             "'{}' has type '{}', which is not supported; convert the tokenizer to another type",
             object.path(), type.substr(0, 100));
}

Result<simdjson::dom::element> ParseJson(std::string_view text, std::string_view name,
                                         simdjson::dom::parser* parser) {
  simdjson::dom::element document;
  simdjson::error_code error = parser->parse(text.data(), text.size()).get(document);
  if (error == simdjson::NUMBER_ERROR) {
    error = parser->parse(WithLongIntegersAsReals(text)).get(document);
  }
  if (error == simdjson::SUCCESS) return document;
  const ErrorCode code = error == simdjson::MEMALLOC || error == simdjson::CAPACITY
                             ? ErrorCode::kResourceExhausted
                             : ErrorCode::kInvalidFormat;
  return Err(code, "{} is not valid JSON: {}", name, simdjson::error_message(error));
}

}  // namespace mdsa
