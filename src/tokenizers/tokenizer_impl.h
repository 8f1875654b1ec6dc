// The parts of a tokenizer and how they work together. Every source of tokenizers fills one of
// these.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/tokenizer.h"
#include "tokenizers/added_vocabulary.h"
#include "tokenizers/decoder.h"
#include "tokenizers/model.h"
#include "tokenizers/normalizer.h"
#include "tokenizers/post_processor.h"
#include "tokenizers/pre_tokenizer.h"

namespace mdsa {

// Immutable once it is in a Tokenizer; thread-safe then.
struct TokenizerImpl {
  std::unique_ptr<Normalizer> normalizer;       // null: none
  std::unique_ptr<PreTokenizer> pre_tokenizer;  // null: none
  std::unique_ptr<TokenModel> model;
  AddedVocabulary added;
  PostProcessor post_processor;
  std::vector<StageMaker> decoder = {SpaceStage()};

  SpecialTokens special;
  std::string chat_template;
  std::int64_t model_max_length = 0;
  bool pads_left = false;
  bool truncates_left = false;

  // Ids of one text without special tokens; stops soon after `limit` ids.
  std::vector<TokenId> Tokenize(std::string_view text, std::size_t limit) const;
  // Spelling for decoding; nullopt for an unknown id or a special one that is to be skipped.
  std::optional<std::string_view> Spelling(TokenId id, bool skip_special_tokens) const;
  std::optional<TokenId> Find(std::string_view token) const;
  // One more than the largest id.
  TokenId id_limit() const {
    return std::max(added.id_limit(), static_cast<TokenId>(model->vocabulary().id_limit()));
  }
};

// The three sources; errors name file and key.
Result<std::unique_ptr<TokenizerImpl>> ReadTokenizerJson(std::string_view json);
Result<std::unique_ptr<TokenizerImpl>> ReadVocabTxt(std::string_view vocab,
                                                    std::string_view tokenizer_config_json);
Result<std::unique_ptr<TokenizerImpl>> ReadGgufVocabulary(
    const Tokenizer::GgufVocabulary& vocabulary);

// Fills roles, chat template, length and padding side from the files beside a tokenizer.json.
Status ReadTokenizerConfig(const Tokenizer::Files& files, TokenizerImpl* impl);

}  // namespace mdsa
