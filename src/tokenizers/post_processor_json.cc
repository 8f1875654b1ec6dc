#include <map>

#include "tokenizers/component_json.h"

namespace mdsa {
namespace {

// Every text pays for what a template adds; real templates have a handful of pieces of one id.
constexpr std::size_t kMaxPieces = 64;
constexpr std::size_t kMaxIdsOfToken = 64;

std::unexpected<Error> TooMany(const std::string& path, std::size_t count, std::size_t limit) {
  return Err(ErrorCode::kUnsupported, "'{}' has {} entries; at most {} are taken", path, count,
             limit);
}

using SpecialIds = std::map<std::string, std::vector<TokenId>>;

Result<TokenId> CheckedId(std::int64_t id, const std::string& path) {
  if (id >= 0 && id < static_cast<std::int64_t>(Vocabulary::kMaxTokens)) {
    return static_cast<TokenId>(id);
  }
  return Err(ErrorCode::kInvalidFormat, "'{}' has the id {}; ids go from 0 to {}", path, id,
             Vocabulary::kMaxTokens - 1);
}

// ["[SEP]", 102]
Result<TokenId> TokenPairFromJson(const JsonObject& json, std::string_view key) {
  MDSA_ASSIGN(const auto pair, json.RequiredArray(key));
  std::int64_t id = 0;
  if (pair.size() != 2 || pair.at(1).get(id) != simdjson::SUCCESS) {
    return Err(ErrorCode::kInvalidFormat, "'{}' is not [token, id]", json.PathOf(key));
  }
  return CheckedId(id, json.PathOf(key));
}

Result<SpecialIds> SpecialIdsFromJson(const JsonObject& json) {
  SpecialIds special;
  if (!json.Get("special_tokens")) return special;
  MDSA_ASSIGN(const JsonObject tokens, json.RequiredObject("special_tokens"));
  for (const auto& [name, value] : tokens.fields()) {
    MDSA_ASSIGN(const JsonObject token, JsonObject::From(value, tokens.PathOf(name)));
    MDSA_ASSIGN(const auto ids, token.RequiredArray("ids"));
    if (ids.size() > kMaxIdsOfToken)
      return TooMany(token.PathOf("ids"), ids.size(), kMaxIdsOfToken);
    std::vector<TokenId>& list = special[std::string(name)];
    list.clear();
    for (const simdjson::dom::element element : ids) {
      std::int64_t number = -1;
      if (element.get(number) != simdjson::SUCCESS) number = -1;
      MDSA_ASSIGN(const TokenId id, CheckedId(number, token.PathOf("ids")));
      list.push_back(id);
    }
  }
  return special;
}

Result<TemplatePiece> PieceFromJson(const JsonObject& json, const SpecialIds& special,
                                    bool is_pair) {
  const bool is_special = json.Get("SpecialToken").has_value();
  MDSA_ASSIGN(const JsonObject body, json.RequiredObject(is_special ? "SpecialToken" : "Sequence"));
  MDSA_ASSIGN(const std::string id, body.RequiredString("id"));
  MDSA_ASSIGN(const std::int64_t type_id, body.Int("type_id", 0));
  MDSA_ASSIGN(const TokenId type, CheckedId(type_id, body.PathOf("type_id")));
  if (is_special) {
    const auto ids = special.find(id);
    if (ids != special.end()) return TemplatePiece{TemplatePiece::kSpecial, type, ids->second};
    return Err(ErrorCode::kInvalidFormat, "'{}' names '{}', which special_tokens lacks",
               body.path(), id.substr(0, 100));
  }
  if (id == "A") return TemplatePiece{TemplatePiece::kFirst, type, {}};
  if (id == "B" && is_pair) return TemplatePiece{TemplatePiece::kSecond, type, {}};
  return Err(ErrorCode::kInvalidFormat, "'{}' is '{}', which is no text of this template",
             body.PathOf("id"), id.substr(0, 100));
}

Result<std::vector<TemplatePiece>> TemplateFromJson(const JsonObject& json, std::string_view key,
                                                    const SpecialIds& special) {
  MDSA_ASSIGN(const auto array, json.RequiredArray(key));
  if (array.size() > kMaxPieces) return TooMany(json.PathOf(key), array.size(), kMaxPieces);
  MDSA_ASSIGN(const auto objects, ObjectsOf(array, json.PathOf(key)));
  std::vector<TemplatePiece> pieces;
  for (const JsonObject& object : objects) {
    MDSA_ASSIGN(TemplatePiece piece, PieceFromJson(object, special, key == "pair"));
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

Result<PostProcessor> TemplateProcessingFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const SpecialIds special, SpecialIdsFromJson(json));
  MDSA_ASSIGN(auto single, TemplateFromJson(json, "single", special));
  MDSA_ASSIGN(auto pair, TemplateFromJson(json, "pair", special));
  return PostProcessor(std::move(single), std::move(pair));
}

// ByteLevel only moves offsets, which are not kept here; so at most one step matters.
Result<PostProcessor> SequenceFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const auto array, json.RequiredArray("processors"));
  MDSA_ASSIGN(const auto objects, ObjectsOf(array, json.PathOf("processors")));
  const JsonObject* only = nullptr;
  for (const JsonObject& object : objects) {
    MDSA_ASSIGN(const std::string type, object.Type());
    if (type == "ByteLevel") continue;
    if (only != nullptr) {
      return Err(ErrorCode::kUnsupported, "'{}' has two steps that add tokens", json.path());
    }
    only = &object;
  }
  if (only == nullptr) return PostProcessor();
  return PostProcessorFromJson(*only);
}

}  // namespace

Result<PostProcessor> PostProcessorFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const std::string type, json.Type());
  if (type == "TemplateProcessing") return TemplateProcessingFromJson(json);
  if (type == "Sequence") return SequenceFromJson(json);
  if (type == "ByteLevel") return PostProcessor();
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    MDSA_ASSIGN(const TokenId sep, TokenPairFromJson(json, "sep"));
    MDSA_ASSIGN(const TokenId cls, TokenPairFromJson(json, "cls"));
    return type == "BertProcessing" ? PostProcessor::Bert(cls, sep)
                                    : PostProcessor::Roberta(cls, sep);
  }
  return UnsupportedType(json, type);
}

}  // namespace mdsa
