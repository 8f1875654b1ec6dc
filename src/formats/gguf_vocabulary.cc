// GgufVocabularyFrom: the tokenizer.ggml keys of a GGUF file.
#include <limits>
#include <string>
#include <utility>

#include "base/error.h"
#include "formats/gguf_config.h"

namespace mdsa {
namespace {

std::string Key(std::string_view name) { return "tokenizer.ggml." + std::string(name); }

std::vector<std::string> Copy(const std::vector<std::string_view>& views) {
  return {views.begin(), views.end()};
}

Status ParseLists(const GgufFile& file, Tokenizer::GgufVocabulary& vocabulary) {
  MDSA_ASSIGN(const auto tokens, file.Strings(Key("tokens")));
  if (!tokens || tokens->empty()) {
    return Err(ErrorCode::kInvalidFormat, "key '{}' is missing or empty", Key("tokens"));
  }
  if (!std::in_range<std::int32_t>(tokens->size())) {
    return Err(ErrorCode::kInvalidFormat, "key '{}' has {} entries", Key("tokens"), tokens->size());
  }
  vocabulary.tokens = Copy(*tokens);
  MDSA_ASSIGN(auto scores, file.Floats(Key("scores")));
  if (scores) vocabulary.scores = *std::move(scores);
  MDSA_ASSIGN(auto types, file.Integers(Key("token_type")));
  if (types) vocabulary.token_types = *std::move(types);
  for (const auto& [name, size] : {std::pair("scores", vocabulary.scores.size()),
                                   std::pair("token_type", vocabulary.token_types.size())}) {
    if (size != 0 && size != vocabulary.tokens.size()) {
      return Err(ErrorCode::kInvalidFormat, "key '{}' has {} entries, '{}' has {}", Key(name), size,
                 Key("tokens"), vocabulary.tokens.size());
    }
  }
  MDSA_ASSIGN(const auto merges, file.Strings(Key("merges")));
  if (merges) vocabulary.merges = Copy(*merges);
  return {};
}

Result<std::optional<TokenId>> ParseId(const GgufFile& file, std::string_view name,
                                       std::size_t tokens) {
  constexpr std::int64_t kNone = std::numeric_limits<std::uint32_t>::max();  // llama.cpp's "no id"
  MDSA_ASSIGN(const auto id, file.Integer(Key(name), 0, kNone));
  if (!id || *id == kNone) return std::nullopt;
  if (std::cmp_greater_equal(*id, tokens)) {
    return Err(ErrorCode::kInvalidFormat, "key '{}': {} is outside the vocabulary of {}", Key(name),
               *id, tokens);
  }
  return static_cast<TokenId>(*id);
}

Status ParseSpecialTokens(const GgufFile& file, Tokenizer::GgufVocabulary& vocabulary) {
  const std::size_t tokens = vocabulary.tokens.size();
  SpecialTokens& special = vocabulary.special;
  MDSA_ASSIGN(special.bos, ParseId(file, "bos_token_id", tokens));
  MDSA_ASSIGN(special.eos, ParseId(file, "eos_token_id", tokens));
  MDSA_ASSIGN(special.unk, ParseId(file, "unknown_token_id", tokens));
  // The format's own spelling.
  MDSA_ASSIGN(special.sep, ParseId(file, "seperator_token_id", tokens));
  MDSA_ASSIGN(special.pad, ParseId(file, "padding_token_id", tokens));
  MDSA_ASSIGN(special.cls, ParseId(file, "cls_token_id", tokens));
  MDSA_ASSIGN(special.mask, ParseId(file, "mask_token_id", tokens));
  return {};
}

}  // namespace

Result<Tokenizer::GgufVocabulary> GgufVocabularyFrom(const GgufFile& file) {
  MDSA_ASSIGN(const auto model, file.String(Key("model")));
  if (!model) {
    return Err(ErrorCode::kNotFound, "the file has no vocabulary (key '{}')", Key("model"));
  }
  Tokenizer::GgufVocabulary vocabulary;
  vocabulary.model = *model;
  MDSA_ASSIGN(const auto pre, file.String(Key("pre")));
  vocabulary.pre = pre.value_or("");
  MDSA_TRY(ParseLists(file, vocabulary));
  MDSA_TRY(ParseSpecialTokens(file, vocabulary));
  MDSA_ASSIGN(vocabulary.add_bos, file.Bool(Key("add_bos_token")));
  MDSA_ASSIGN(vocabulary.add_eos, file.Bool(Key("add_eos_token")));
  MDSA_ASSIGN(vocabulary.add_space_prefix, file.Bool(Key("add_space_prefix")));
  MDSA_ASSIGN(const auto chat_template, file.String("tokenizer.chat_template"));
  vocabulary.chat_template = chat_template.value_or("");
  return vocabulary;
}

}  // namespace mdsa
