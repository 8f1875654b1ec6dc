#include <array>

#include "tokenizers/bert_normalizer.h"
#include "tokenizers/json_reader.h"
#include "tokenizers/tokenizer_impl.h"
#include "tokenizers/unicode_form.h"
#include "tokenizers/utf8.h"
#include "tokenizers/word_piece.h"

namespace mdsa {
namespace {

// What tokenizer_config.json says about a BERT tokenizer, with BERT's defaults.
struct BertConfig {
  BertNormalizerOptions normalizer;
  // In the order pad, unk, cls, sep, mask.
  std::array<std::string, 5> special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
};
constexpr std::array<std::string_view, 5> kSpecialKeys = {"pad_token", "unk_token", "cls_token",
                                                          "sep_token", "mask_token"};
constexpr std::size_t kUnk = 1, kCls = 2, kSep = 3;

Result<BertConfig> ReadBertConfig(std::string_view text) {
  BertConfig config;
  if (text.empty()) return config;
  simdjson::dom::parser parser;
  MDSA_ASSIGN(const auto document, ParseJson(text, "tokenizer_config.json", &parser));
  MDSA_ASSIGN(const JsonObject json, JsonObject::From(document, "tokenizer_config.json"));
  MDSA_ASSIGN(config.normalizer.lowercase, json.Bool("do_lower_case", true));
  MDSA_ASSIGN(config.normalizer.handle_chinese_chars, json.Bool("tokenize_chinese_chars", true));
  if (json.Get("strip_accents")) {
    MDSA_ASSIGN(config.normalizer.strip_accents, json.Bool("strip_accents", false));
  }
  for (std::size_t i = 0; i < kSpecialKeys.size(); ++i) {
    std::string_view plain;
    const auto value = json.Get(kSpecialKeys[i]);
    if (!value) continue;
    if (value->get(plain) == simdjson::SUCCESS) {
      config.special[i] = std::string(plain);
      continue;
    }
    MDSA_ASSIGN(const JsonObject object, json.RequiredObject(kSpecialKeys[i]));
    MDSA_ASSIGN(config.special[i], object.RequiredString("content"));
  }
  return config;
}

// One token a line; a line ends with LF, CR LF or CR, as in a Python text file.
Result<Vocabulary> ReadLines(std::string_view text) {
  if (!IsWellFormedUtf8(text)) return Err(ErrorCode::kInvalidFormat, "vocab.txt is not UTF-8");
  Vocabulary::Builder builder;
  std::int64_t line = 0;
  for (std::size_t at = 0; at < text.size(); ++line) {
    const std::size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    if (auto added = builder.Add(text.substr(at, end - at), line); !added) {
      return std::unexpected(std::move(added).error().AddContext("vocab.txt"));
    }
    at = end + (text.substr(end).starts_with("\r\n") ? 2 : 1);
  }
  return std::move(builder).Build();
}

}  // namespace

Result<std::unique_ptr<TokenizerImpl>> ReadVocabTxt(std::string_view vocab,
                                                    std::string_view tokenizer_config_json) {
  MDSA_ASSIGN(const BertConfig config, ReadBertConfig(tokenizer_config_json));
  MDSA_ASSIGN(Vocabulary vocabulary, ReadLines(vocab));
  MDSA_TRY(CheckUnicodeForms());
  WordPieceOptions options;
  options.unk_token = config.special[kUnk];
  auto model = WordPieceModel::Create(std::move(vocabulary), options);
  if (!model) return std::unexpected(std::move(model).error().AddContext("vocab.txt"));

  auto impl = std::make_unique<TokenizerImpl>();
  impl->normalizer = std::make_unique<BertNormalizer>(config.normalizer);
  impl->pre_tokenizer = std::make_unique<BertPreTokenizer>();
  impl->model = std::make_unique<WordPieceModel>(std::move(*model));
  impl->decoder = {WordPieceStage("##", true)};
  std::array<std::optional<TokenId>, 5> ids;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids[i] = impl->Find(config.special[i]);
    if (!ids[i]) continue;
    AddedToken token{config.special[i]};
    token.normalized = false;
    token.special = true;
    MDSA_TRY(impl->added.Add(token, impl->model->vocabulary(), nullptr));
  }
  impl->added.Finish();
  // Padding and masking are left to who uses them; every text needs these two.
  for (const std::size_t needed : {kCls, kSep}) {
    if (ids[needed]) continue;
    return Err(ErrorCode::kInvalidFormat, "vocab.txt lacks the token '{}'",
               config.special[needed].substr(0, 100));
  }
  impl->post_processor = PostProcessor::Bert(*ids[kCls], *ids[kSep]);
  impl->special.pad = ids[0];
  impl->special.unk = ids[kUnk];
  impl->special.cls = ids[kCls];
  impl->special.sep = ids[kSep];
  impl->special.mask = ids[4];
  return impl;
}

}  // namespace mdsa
