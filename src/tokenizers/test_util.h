// Helpers of the tokenizers' unit tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mdsa/tokenizer.h"
#include "tokenizers/pre_tokenizer.h"
#include "tokenizers/vocabulary.h"

namespace mdsa {

// Texts of the pieces that a pre-tokenizer makes of one text.
inline std::vector<std::string> Pieces(const PreTokenizer& pre_tokenizer, std::string_view text) {
  PieceList list{std::string(text), {{0, text.size(), kNoToken, true}}};
  pre_tokenizer.Apply(&list);
  std::vector<std::string> result;
  for (const Piece& piece : list.pieces) result.emplace_back(list.Text(piece));
  return result;
}

// Tokens with ids 0, 1, ...
inline Vocabulary MakeVocabulary(const std::vector<std::string>& tokens) {
  Vocabulary::Builder builder;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    EXPECT_TRUE(builder.Add(tokens[id], static_cast<std::int64_t>(id)).has_value());
  }
  return std::move(builder).Build();
}

inline Result<std::shared_ptr<const Tokenizer>> FromJson(std::string_view json) {
  return Tokenizer::FromFiles({.tokenizer_json = json,
                               .tokenizer_config_json = {},
                               .special_tokens_map_json = {},
                               .vocab_txt = {},
                               .chat_template_jinja = {}});
}

}  // namespace mdsa
