// GgufVocabularyFrom and GgufTokenId: the tokenizer.ggml keys of a GGUF file.
#include <iterator>
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

Status ParseSpecialTokens(const GgufFile& file, Tokenizer::GgufVocabulary& vocabulary) {
  const auto id = [&](std::string_view name) {
    return GgufTokenId(file, name, std::ssize(vocabulary.tokens));
  };
  SpecialTokens& special = vocabulary.special;
  MDSA_ASSIGN(special.bos, id("bos_token_id"));
  MDSA_ASSIGN(special.eos, id("eos_token_id"));
  MDSA_ASSIGN(special.unk, id("unknown_token_id"));
  // The format's own spelling.
  MDSA_ASSIGN(special.sep, id("seperator_token_id"));
  MDSA_ASSIGN(special.pad, id("padding_token_id"));
  MDSA_ASSIGN(special.cls, id("cls_token_id"));
  MDSA_ASSIGN(special.mask, id("mask_token_id"));
  return {};
}

}  // namespace

Result<std::optional<TokenId>> GgufTokenId(const GgufFile& file, std::string_view name,
                                           std::int64_t vocab_size) {
  constexpr std::int64_t kNone = std::numeric_limits<std::uint32_t>::max();  // llama.cpp's "no id"
  MDSA_ASSIGN(const auto id, file.Integer(Key(name), 0, kNone));
  if (!id || *id == kNone) return std::nullopt;
  if (*id < vocab_size) return static_cast<TokenId>(*id);
  if (name != "bos_token_id" && name != "eos_token_id") return std::nullopt;
  return Err(ErrorCode::kInvalidFormat, "key '{}': {} is outside the vocabulary of {}", Key(name),
             *id, vocab_size);
}

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
