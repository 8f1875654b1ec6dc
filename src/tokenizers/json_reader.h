// Reading of small objects of tokenizer.json with errors that name the key.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "mdsa/result.h"

namespace mdsa {

// A view of one JSON object and the path that leads to it; valid while the document is.
// Thread-compatible.
class JsonObject {
 public:
  // kInvalidFormat if `value` is not an object.
  static Result<JsonObject> From(simdjson::dom::element value, std::string path);

  const std::string& path() const { return path_; }
  std::string PathOf(std::string_view key) const { return path_ + "." + std::string(key); }

  // The value of a key; nullopt if it is absent or null.
  std::optional<simdjson::dom::element> Get(std::string_view key) const;

  // Each gives `fallback` for a key that is absent or null, and kInvalidFormat for another type.
  Result<bool> Bool(std::string_view key, bool fallback) const;
  Result<std::string> String(std::string_view key, std::string_view fallback) const;
  Result<std::int64_t> Int(std::string_view key, std::int64_t fallback) const;

  // kInvalidFormat if the key is absent, too.
  Result<std::string> RequiredString(std::string_view key) const;
  Result<std::int64_t> RequiredInt(std::string_view key) const;
  Result<JsonObject> RequiredObject(std::string_view key) const;
  Result<simdjson::dom::array> RequiredArray(std::string_view key) const;
  // A string of exactly one character.
  Result<std::string> RequiredChar(std::string_view key) const;
  // The "type" of a component.
  Result<std::string> Type() const { return RequiredString("type"); }

  simdjson::dom::object fields() const { return object_; }

 private:
  JsonObject(simdjson::dom::object object, std::string path)
      : object_(object), path_(std::move(path)) {}
  std::unexpected<Error> WrongType(std::string_view key, std::string_view wanted) const;

  simdjson::dom::object object_;
  std::string path_;
};

// Elements of an array of objects, each with its own path.
Result<std::vector<JsonObject>> ObjectsOf(simdjson::dom::array array, const std::string& path);

// kUnsupported: this type of component is known to exist but not implemented, or not known.
std::unexpected<Error> UnsupportedType(const JsonObject& object, std::string_view type);

// Parses a whole document; `name` is that of the file. kInvalidFormat says what is wrong.
// `parser` owns the result.
Result<simdjson::dom::element> ParseJson(std::string_view text, std::string_view name,
                                         simdjson::dom::parser* parser);

}  // namespace mdsa
