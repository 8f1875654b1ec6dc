#include "tokenizers/bpe.h"
#include "tokenizers/component_json.h"
#include "tokenizers/word_piece.h"

namespace mdsa {
namespace {

// Keeps the work per word bounded whatever a file asks for; the usual value is 100.
constexpr std::int64_t kMaxCharsPerWord = 10'000;

using ModelPtr = std::unique_ptr<TokenModel>;

Result<Vocabulary> VocabularyFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const JsonObject tokens, json.RequiredObject("vocab"));
  Vocabulary::Builder builder;
  builder.Reserve(tokens.fields().size(), 0);
  for (const auto& [token, value] : tokens.fields()) {
    std::int64_t id = 0;
    if (value.get(id) != simdjson::SUCCESS) {
      return Err(ErrorCode::kInvalidFormat, "'{}': the id of '{}' is not an integer", tokens.path(),
                 token.substr(0, 100));
    }
    if (auto added = builder.Add(token, id); !added) {
      return std::unexpected(std::move(added).error().AddContext(tokens.path()));
    }
  }
  return std::move(builder).Build();
}

// ["a b", ...] or [["a", "b"], ...]
Result<std::vector<BpeModel::MergeText>> MergesFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const auto array, json.RequiredArray("merges"));
  std::vector<BpeModel::MergeText> merges;
  merges.reserve(array.size());
  const auto broken = [&] {
    return Err(ErrorCode::kInvalidFormat, "'{}[{}]' is neither \"left right\" nor [left, right]",
               json.PathOf("merges"), merges.size());
  };
  for (const simdjson::dom::element element : array) {
    std::string_view left, right;
    simdjson::dom::array pair;
    if (element.get(left) == simdjson::SUCCESS) {
      if (left.starts_with("#version")) continue;
      const std::size_t space = left.find(' ');
      if (space == std::string_view::npos) return broken();
      right = left.substr(space + 1);
      left = left.substr(0, space);
      if (right.find(' ') != std::string_view::npos) return broken();
    } else if (element.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
               pair.at(0).get(left) != simdjson::SUCCESS ||
               pair.at(1).get(right) != simdjson::SUCCESS) {
      return broken();
    }
    merges.emplace_back(left, right);
  }
  return merges;
}

Result<ModelPtr> BpeFromJson(const JsonObject& json) {
  double dropout = 0;
  if (const auto value = json.Get("dropout");
      value && (value->get(dropout) != simdjson::SUCCESS || dropout != 0)) {
    return Err(ErrorCode::kUnsupported,
               "'{}' is set; random tokenization is for training, set it to null",
               json.PathOf("dropout"));
  }
  BpeOptions options;
  if (json.Get("unk_token")) {
    MDSA_ASSIGN(options.unk_token, json.RequiredString("unk_token"));
  }
  MDSA_ASSIGN(options.continuing_prefix, json.String("continuing_subword_prefix", ""));
  MDSA_ASSIGN(options.end_of_word_suffix, json.String("end_of_word_suffix", ""));
  MDSA_ASSIGN(options.fuse_unk, json.Bool("fuse_unk", false));
  MDSA_ASSIGN(options.byte_fallback, json.Bool("byte_fallback", false));
  MDSA_ASSIGN(options.ignore_merges, json.Bool("ignore_merges", false));
  MDSA_ASSIGN(Vocabulary vocabulary, VocabularyFromJson(json));
  MDSA_ASSIGN(const auto merges, MergesFromJson(json));
  auto model = BpeModel::Create(std::move(vocabulary), merges, options);
  if (!model) return std::unexpected(std::move(model).error().AddContext(json.path()));
  return std::move(*model);
}

Result<ModelPtr> WordPieceFromJson(const JsonObject& json) {
  WordPieceOptions options;
  MDSA_ASSIGN(options.unk_token, json.String("unk_token", "[UNK]"));
  MDSA_ASSIGN(options.continuing_prefix, json.String("continuing_subword_prefix", "##"));
  MDSA_ASSIGN(const std::int64_t max_chars, json.Int("max_input_chars_per_word", 100));
  if (max_chars < 0) {
    return Err(ErrorCode::kInvalidFormat, "'{}' is negative",
               json.PathOf("max_input_chars_per_word"));
  }
  if (max_chars > kMaxCharsPerWord) {
    return Err(ErrorCode::kUnsupported, "'{}' is {}; at most {} is taken",
               json.PathOf("max_input_chars_per_word"), max_chars, kMaxCharsPerWord);
  }
  options.max_chars_per_word = static_cast<std::size_t>(max_chars);
  MDSA_ASSIGN(Vocabulary vocabulary, VocabularyFromJson(json));
  auto model = WordPieceModel::Create(std::move(vocabulary), options);
  if (!model) return std::unexpected(std::move(model).error().AddContext(json.path()));
  return std::make_unique<WordPieceModel>(std::move(*model));
}

Result<ModelPtr> WordLevelFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const std::string unk, json.String("unk_token", "<unk>"));
  MDSA_ASSIGN(Vocabulary vocabulary, VocabularyFromJson(json));
  auto model = WordLevelModel::Create(std::move(vocabulary), unk);
  if (!model) return std::unexpected(std::move(model).error().AddContext(json.path()));
  return std::make_unique<WordLevelModel>(std::move(*model));
}

}  // namespace

Result<ModelPtr> ModelFromJson(const JsonObject& json) {
  // Older files name the type only where it cannot be told from the keys.
  MDSA_ASSIGN(std::string type, json.String("type", json.Get("merges") ? "BPE" : "WordPiece"));
  if (type == "BPE") return BpeFromJson(json);
  if (type == "WordPiece") return WordPieceFromJson(json);
  if (type == "WordLevel") return WordLevelFromJson(json);
  return UnsupportedType(json, type);
}

}  // namespace mdsa
