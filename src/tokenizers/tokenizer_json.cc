#include "tokenizers/component_json.h"
#include "tokenizers/tokenizer_impl.h"

namespace mdsa {
namespace {

constexpr std::int64_t kMaxId = static_cast<std::int64_t>(Vocabulary::kMaxTokens) - 1;

Status ReadAddedTokens(const JsonObject& json, TokenizerImpl* impl) {
  if (!json.Get("added_tokens")) {
    impl->added.Finish();
    return {};
  }
  MDSA_ASSIGN(const auto array, json.RequiredArray("added_tokens"));
  MDSA_ASSIGN(const auto objects, ObjectsOf(array, json.PathOf("added_tokens")));
  for (const JsonObject& object : objects) {
    MDSA_ASSIGN(const AddedToken token, AddedTokenFromJson(object));
    auto added = impl->added.Add(token, impl->model->vocabulary(), impl->normalizer.get());
    if (!added) return std::unexpected(std::move(added).error().AddContext(object.path()));
  }
  impl->added.Finish();
  return {};
}

}  // namespace

Result<AddedToken> AddedTokenFromJson(const JsonObject& json) {
  AddedToken token;
  MDSA_ASSIGN(token.content, json.RequiredString("content"));
  // The id itself does not count: as in the reference, contents decide (see AddedVocabulary).
  MDSA_ASSIGN(const std::int64_t id, json.RequiredInt("id"));
  if (id < 0 || id > kMaxId) {
    return Err(ErrorCode::kInvalidFormat, "'{}' is {}; ids go from 0 to {}", json.PathOf("id"), id,
               kMaxId);
  }
  MDSA_ASSIGN(token.special, json.Bool("special", false));
  MDSA_ASSIGN(token.single_word, json.Bool("single_word", false));
  MDSA_ASSIGN(token.lstrip, json.Bool("lstrip", false));
  MDSA_ASSIGN(token.rstrip, json.Bool("rstrip", false));
  MDSA_ASSIGN(token.normalized, json.Bool("normalized", !token.special));
  return token;
}

Result<std::unique_ptr<TokenizerImpl>> ReadTokenizerJson(std::string_view text) {
  simdjson::dom::parser parser;
  MDSA_ASSIGN(const auto document, ParseJson(text, "tokenizer.json", &parser));
  MDSA_ASSIGN(const JsonObject json, JsonObject::From(document, "tokenizer.json"));
  MDSA_ASSIGN(const std::string version, json.String("version", "1.0"));
  if (version != "1.0") {
    return Err(ErrorCode::kUnsupported, "tokenizer.json has version '{}'; 1.0 is known",
               version.substr(0, 100));
  }
  MDSA_TRY(CheckGrowth(json, {"normalizer", "pre_tokenizer"}));
  MDSA_TRY(CheckGrowth(json, {"decoder"}));
  auto impl = std::make_unique<TokenizerImpl>();
  if (json.Get("normalizer")) {
    MDSA_ASSIGN(const JsonObject part, json.RequiredObject("normalizer"));
    MDSA_ASSIGN(impl->normalizer, NormalizerFromJson(part));
  }
  if (json.Get("pre_tokenizer")) {
    MDSA_ASSIGN(const JsonObject part, json.RequiredObject("pre_tokenizer"));
    MDSA_ASSIGN(impl->pre_tokenizer, PreTokenizerFromJson(part));
  }
  if (json.Get("post_processor")) {
    MDSA_ASSIGN(const JsonObject part, json.RequiredObject("post_processor"));
    MDSA_ASSIGN(impl->post_processor, PostProcessorFromJson(part));
  }
  if (json.Get("decoder")) {
    MDSA_ASSIGN(const JsonObject part, json.RequiredObject("decoder"));
    MDSA_ASSIGN(impl->decoder, DecoderFromJson(part));
  }
  MDSA_ASSIGN(const JsonObject model, json.RequiredObject("model"));
  MDSA_ASSIGN(impl->model, ModelFromJson(model));
  MDSA_TRY(ReadAddedTokens(json, impl.get()));
  if (const TokenId id = impl->post_processor.largest_id(); id >= impl->id_limit()) {
    return Err(ErrorCode::kInvalidFormat, "'{}' adds the id {}, but ids of tokens end at {}",
               json.PathOf("post_processor"), id, impl->id_limit() - 1);
  }
  return impl;
}

}  // namespace mdsa
