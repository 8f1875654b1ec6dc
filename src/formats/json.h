// Typed access to JSON files whose every value may be of the wrong type.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mdsa/result.h"

namespace mdsa {

// A view of one object of a JsonDocument, which must outlive it. A key that is absent and a key
// whose value is null are the same: nullopt. Of equal keys the last counts, as in Python. Errors
// are kInvalidFormat and name the key with its path ("rope_parameters.factor"). Thread-compatible.
class JsonObject {
 public:
  JsonObject(simdjson::dom::object object, std::string path)
      : object_(object), path_(std::move(path)) {}

  std::optional<simdjson::dom::element> Find(std::string_view key) const;

  // A number written as an integer, within [min, max]; 768.0 is refused.
  Result<std::optional<std::int64_t>> Integer(std::string_view key, std::int64_t min,
                                              std::int64_t max) const;
  Result<std::int64_t> IntegerOr(std::string_view key, std::int64_t absent, std::int64_t min,
                                 std::int64_t max) const;
  Result<std::optional<double>> Number(std::string_view key) const;
  Result<double> NumberOr(std::string_view key, double absent) const;
  Result<bool> BoolOr(std::string_view key, bool absent) const;
  Result<std::optional<std::string_view>> String(std::string_view key) const;
  Result<std::optional<JsonObject>> Object(std::string_view key) const;
  Result<std::optional<simdjson::dom::array>> Array(std::string_view key) const;

  // The first key that occurs twice.
  std::optional<std::string_view> DuplicateKey() const;

  // "key 'rope_parameters.factor'", for messages about a value.
  std::string Where(std::string_view key) const;
  const simdjson::dom::object& raw() const { return object_; }

 private:
  std::unexpected<Error> WrongType(std::string_view key, std::string_view expected,
                                   simdjson::dom::element found) const;

  simdjson::dom::object object_;
  std::string path_;  // of this object, "" for the root
};

// Owns the parsed form of one JSON text. Move-only. Thread-compatible.
class JsonDocument {
 public:
  // kInvalidFormat if `text` is not one well-formed JSON value in UTF-8. Copies `text`.
  static Result<JsonDocument> Parse(std::string_view text);

  // kInvalidFormat if the root is something else.
  Result<JsonObject> RootObject() const;
  Result<simdjson::dom::array> RootArray() const;

 private:
  JsonDocument(std::unique_ptr<simdjson::dom::parser> parser, simdjson::dom::element root)
      : parser_(std::move(parser)), root_(root) {}

  std::unique_ptr<simdjson::dom::parser> parser_;  // holds what root_ points into
  simdjson::dom::element root_;
};

// "a string", "an integer", ... for messages.
std::string_view JsonTypeName(simdjson::dom::element element);

}  // namespace mdsa
