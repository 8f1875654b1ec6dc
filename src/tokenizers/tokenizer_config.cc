#include <array>
#include <utility>

#include "tokenizers/json_reader.h"
#include "tokenizers/tokenizer_impl.h"

namespace mdsa {
namespace {

// Longer contexts than this do not exist; larger values mean "not set" (often 1e30).
constexpr double kMaxModelLength = 1e9;

struct Role {
  std::string_view key;
  std::optional<TokenId> SpecialTokens::* member;
};
constexpr std::array<Role, 7> kRoles = {{{"bos_token", &SpecialTokens::bos},
                                         {"eos_token", &SpecialTokens::eos},
                                         {"unk_token", &SpecialTokens::unk},
                                         {"sep_token", &SpecialTokens::sep},
                                         {"pad_token", &SpecialTokens::pad},
                                         {"cls_token", &SpecialTokens::cls},
                                         {"mask_token", &SpecialTokens::mask}}};

// "[CLS]" or {"content": "[CLS]", ...}
Result<std::string> TokenContent(const JsonObject& json, std::string_view key) {
  const auto value = json.Get(key);
  if (value && value->is_object()) {
    MDSA_ASSIGN(const JsonObject object, json.RequiredObject(key));
    return object.RequiredString("content");
  }
  return json.RequiredString(key);
}

Status ReadRoles(const JsonObject& json, TokenizerImpl* impl) {
  for (const Role& role : kRoles) {
    if (impl->special.*role.member || !json.Get(role.key)) continue;
    MDSA_ASSIGN(const std::string content, TokenContent(json, role.key));
    impl->special.*role.member = impl->Find(content);
  }
  return {};
}

// A string, or a list of {"name", "template"} of which "default" counts.
Status ReadChatTemplate(const JsonObject& json, TokenizerImpl* impl) {
  const auto value = json.Get("chat_template");
  if (!value) return {};
  if (!value->is_array()) {
    MDSA_ASSIGN(impl->chat_template, json.RequiredString("chat_template"));
    return {};
  }
  MDSA_ASSIGN(const auto array, json.RequiredArray("chat_template"));
  MDSA_ASSIGN(const auto objects, ObjectsOf(array, json.PathOf("chat_template")));
  for (const JsonObject& object : objects) {
    MDSA_ASSIGN(const std::string name, object.RequiredString("name"));
    if (name != "default") continue;
    MDSA_ASSIGN(impl->chat_template, object.RequiredString("template"));
  }
  return {};
}

Result<bool> IsLeft(const JsonObject& json, std::string_view key) {
  const auto value = json.Get(key);
  std::string_view side;
  if (value && value->get(side) != simdjson::SUCCESS) {
    return Err(ErrorCode::kInvalidFormat, "'{}' is not a string", json.PathOf(key));
  }
  return side == "left";
}

Status ReadConfig(const JsonObject& json, TokenizerImpl* impl) {
  MDSA_TRY(ReadRoles(json, impl));
  MDSA_TRY(ReadChatTemplate(json, impl));
  MDSA_ASSIGN(impl->pads_left, IsLeft(json, "padding_side"));
  MDSA_ASSIGN(impl->truncates_left, IsLeft(json, "truncation_side"));
  if (const auto length = json.Get("model_max_length")) {
    double number = 0;
    if (length->get(number) != simdjson::SUCCESS) {
      return Err(ErrorCode::kInvalidFormat, "'{}' is not a number",
                 json.PathOf("model_max_length"));
    }
    if (number >= 1 && number <= kMaxModelLength) {
      impl->model_max_length = static_cast<std::int64_t>(number);
    }
  }
  return {};
}

}  // namespace

Status ReadTokenizerConfig(const Tokenizer::Files& files, TokenizerImpl* impl) {
  if (!files.tokenizer_config_json.empty()) {
    simdjson::dom::parser parser;
    MDSA_ASSIGN(const auto document,
                ParseJson(files.tokenizer_config_json, "tokenizer_config.json", &parser));
    MDSA_ASSIGN(const JsonObject json, JsonObject::From(document, "tokenizer_config.json"));
    MDSA_TRY(ReadConfig(json, impl));
  }
  if (!files.special_tokens_map_json.empty()) {
    simdjson::dom::parser parser;
    MDSA_ASSIGN(const auto document,
                ParseJson(files.special_tokens_map_json, "special_tokens_map.json", &parser));
    MDSA_ASSIGN(const JsonObject json, JsonObject::From(document, "special_tokens_map.json"));
    MDSA_TRY(ReadRoles(json, impl));
  }
  if (!files.chat_template_jinja.empty()) {
    impl->chat_template = std::string(files.chat_template_jinja);
  }
  return {};
}

}  // namespace mdsa
