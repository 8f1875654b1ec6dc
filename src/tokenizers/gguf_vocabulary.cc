// Tokenizers of GGUF files. The file names an algorithm and gives a vocabulary; the rest of the
// pipeline is implied: for byte-level vocabularies by the name of a pre-tokenizer, which stands for
// what llama.cpp does, else it is what transformers 5.23 builds from the same file.
#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "base/error.h"
#include "tokenizers/bert_normalizer.h"
#include "tokenizers/bpe.h"
#include "tokenizers/byte_alphabet.h"
#include "tokenizers/tokenizer_impl.h"
#include "tokenizers/unicode_form.h"
#include "tokenizers/utf8.h"
#include "tokenizers/word_piece.h"

namespace mdsa {
namespace {

using Gguf = Tokenizer::GgufVocabulary;

constexpr std::string_view kMetaspace = "\xe2\x96\x81";  // U+2581
constexpr std::int32_t kUnknownType = 2, kControlType = 3, kUserType = 4;
constexpr std::size_t kLongestDerivedMerge = 256;  // bytes of a token whose merges are derived

std::int32_t TypeOf(const Gguf& gguf, std::size_t id) {
  return id < gguf.token_types.size() ? gguf.token_types[id] : 1;
}

Result<Vocabulary> BuildVocabulary(const std::vector<std::string>& tokens) {
  Vocabulary::Builder builder;
  builder.Reserve(tokens.size(), 0);
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (!IsWellFormedUtf8(tokens[id])) {
      return Err(ErrorCode::kInvalidFormat, "tokenizer.ggml.tokens[{}] is not UTF-8", id);
    }
    MDSA_TRY(builder.Add(tokens[id], static_cast<std::int64_t>(id)));
  }
  return std::move(builder).Build();
}

Result<std::vector<BpeModel::MergeText>> SplitMerges(const std::vector<std::string>& merges) {
  std::vector<BpeModel::MergeText> result;
  result.reserve(merges.size());
  for (const std::string& merge : merges) {
    const std::size_t space = merge.find(' ');
    if (space == std::string::npos || merge.find(' ', space + 1) != std::string::npos) {
      return Err(ErrorCode::kInvalidFormat, "tokenizer.ggml.merges[{}] is not \"left right\"",
                 result.size());
    }
    const std::string_view text = merge;
    result.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  return result;
}

// Merges implied by a scored vocabulary: every way to put a token together from two others, best
// score first, then the longer left part, then the longer right part.
std::vector<BpeModel::MergeText> DeriveMerges(const Gguf& gguf, const Vocabulary& vocabulary) {
  struct Candidate {
    BpeModel::MergeText parts;
    float score;
    std::size_t left_chars, right_chars;
    TokenId left, right;
  };
  std::vector<Candidate> candidates;
  for (std::size_t id = 0; id < gguf.tokens.size(); ++id) {
    const std::string_view token = gguf.tokens[id];
    if (token.size() > kLongestDerivedMerge) continue;
    const std::size_t first = candidates.size();
    const float score = id < gguf.scores.size() ? gguf.scores[id] : 0.0f;
    for (std::size_t at = 0; at < token.size();) {
      at += Utf8Length(token[at]);
      const auto left = vocabulary.Find(token.substr(0, at));
      const auto right = at < token.size() ? vocabulary.Find(token.substr(at)) : std::nullopt;
      if (!left || !right) continue;
      candidates.push_back({{token.substr(0, at), token.substr(at)},
                            score,
                            CountChars(token.substr(0, at)),
                            CountChars(token.substr(at)),
                            *left,
                            *right});
    }
    std::sort(candidates.begin() + static_cast<std::ptrdiff_t>(first), candidates.end(),
              [](const Candidate& a, const Candidate& b) {
                return std::pair(a.left, a.right) < std::pair(b.left, b.right);
              });
  }
  // Written so that a NaN keeps the order strict and weak.
  const auto key = [](const Candidate& c) {
    return std::tuple(c.score == c.score ? c.score : 0.0f, c.left_chars, c.right_chars);
  };
  std::vector<std::size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const auto key_a = key(candidates[a]);
    const auto key_b = key(candidates[b]);
    return key_a != key_b ? key_a > key_b : a < b;
  });
  std::vector<BpeModel::MergeText> merges;
  merges.reserve(candidates.size());
  for (const std::size_t i : order) merges.push_back(candidates[i].parts);
  return merges;
}

// What the name of a byte-level pre-tokenizer stands for, as llama.cpp reads it.
struct ByteLevelKind {
  std::optional<WordPattern> words = WordPattern::kGpt2;  // nullopt: Tekken's regex
  bool splits_digits = false;  // every digit is cut off before the words are
  bool ignore_merges = false;
  bool add_bos = false;  // where tokenizer.ggml.add_bos_token is absent
};

Result<ByteLevelKind> KindOf(std::string_view name) {
  static constexpr ByteLevelKind kGpt2{};
  static constexpr ByteLevelKind kDigits{.splits_digits = true};
  static constexpr ByteLevelKind kSplitAsLlama3{.words = WordPattern::kLlama3};
  static constexpr ByteLevelKind kLlama3{
      .words = WordPattern::kLlama3, .ignore_merges = true, .add_bos = true};
  static constexpr ByteLevelKind kTekken{
      .words = std::nullopt, .ignore_merges = true, .add_bos = true};
  static constexpr ByteLevelKind kQwen2{.words = WordPattern::kQwen2};
  static const std::map<std::string_view, ByteLevelKind> kKinds = {{"", kGpt2},
                                                                   {"default", kGpt2},
                                                                   {"gpt-2", kGpt2},
                                                                   {"phi-2", kGpt2},
                                                                   {"roberta-bpe", kGpt2},
                                                                   {"smollm", kDigits},
                                                                   {"starcoder", kDigits},
                                                                   {"refact", kDigits},
                                                                   {"command-r", kDigits},
                                                                   {"codeshell", kDigits},
                                                                   {"llama3", kLlama3},
                                                                   {"llama-v3", kLlama3},
                                                                   {"llama-bpe", kLlama3},
                                                                   {"falcon3", kLlama3},
                                                                   {"pixtral", kLlama3},
                                                                   {"smaug-bpe", kSplitAsLlama3},
                                                                   {"dbrx", kSplitAsLlama3},
                                                                   {"tekken", kTekken},
                                                                   {"qwen2", kQwen2},
                                                                   {"deepseek-r1-qwen", kQwen2},
                                                                   {"megrez", kQwen2}};
  const auto found = kKinds.find(name);
  if (found != kKinds.end()) return found->second;
  return Err(ErrorCode::kUnsupported,
             "tokenizer.ggml.pre is '{}', which is not supported; use the model's tokenizer.json",
             name.substr(0, 100));
}

Result<std::unique_ptr<PreTokenizer>> ByteLevelSteps(const ByteLevelKind& kind) {
  static constexpr std::string_view kTekkenRegex =
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
      R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
      R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  if (kind.splits_digits) {
    steps.push_back(std::make_unique<ClassSplit>(kNumeric, SplitBehavior::kIsolated));
  }
  if (kind.words) {
    steps.push_back(std::make_unique<WordSplit>(*kind.words));
  } else {
    MDSA_ASSIGN(Pattern pattern, Pattern::FromRegex(kTekkenRegex));
    steps.push_back(
        std::make_unique<PatternSplit>(std::move(pattern), SplitBehavior::kIsolated, false));
  }
  steps.push_back(std::make_unique<ByteLevelPreTokenizer>(false, false));
  return std::make_unique<SequencePreTokenizer>(std::move(steps));
}

Status BuildByteLevel(const Gguf& gguf, const ByteLevelKind& kind, TokenizerImpl* impl) {
  // Tokens that are not written in the byte alphabet are taken as plain text and spelled in it.
  std::vector<std::string> tokens = gguf.tokens;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (!IsWellFormedUtf8(tokens[id])) {
      return Err(ErrorCode::kInvalidFormat, "tokenizer.ggml.tokens[{}] is not UTF-8", id);
    }
    if (ByteAlphabet::Get().IsSpelled(tokens[id])) continue;
    std::string spelled;
    ByteAlphabet::Get().AppendSpelled(tokens[id], &spelled);
    tokens[id] = std::move(spelled);
  }
  MDSA_ASSIGN(Vocabulary vocabulary, BuildVocabulary(tokens));
  MDSA_ASSIGN(const auto merges, SplitMerges(gguf.merges));
  BpeOptions options;
  options.ignore_merges = kind.ignore_merges;
  MDSA_ASSIGN(impl->model, BpeModel::Create(std::move(vocabulary), merges, options));
  MDSA_ASSIGN(impl->pre_tokenizer, ByteLevelSteps(kind));
  impl->decoder = {ByteLevelStage()};
  return {};
}

Status BuildSentencePiece(const Gguf& gguf, TokenizerImpl* impl) {
  MDSA_ASSIGN(Vocabulary vocabulary, BuildVocabulary(gguf.tokens));
  BpeOptions options;
  options.fuse_unk = true;
  options.byte_fallback = true;
  std::vector<BpeModel::MergeText> merges;
  if (gguf.merges.empty()) {
    merges = DeriveMerges(gguf, vocabulary);
  } else {
    MDSA_ASSIGN(merges, SplitMerges(gguf.merges));
  }
  MDSA_ASSIGN(impl->model, BpeModel::Create(std::move(vocabulary), merges, options));
  const bool prefix = gguf.add_space_prefix.value_or(true);
  impl->pre_tokenizer = std::make_unique<MetaspacePreTokenizer>(
      std::string(kMetaspace), prefix ? PrependScheme::kFirst : PrependScheme::kNever, false);
  impl->decoder = {ReplaceStage(Pattern::FromString(std::string(kMetaspace)), " "),
                   ByteFallbackStage(), FuseStage()};
  if (prefix) impl->decoder.push_back(StripStage(" ", 1, 0));
  return {};
}

// In the file words begin with U+2581 and continuations are bare; special tokens are as they are.
Status BuildWordPiece(const Gguf& gguf, TokenizerImpl* impl) {
  std::vector<std::string> tokens = gguf.tokens;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const std::int32_t type = TypeOf(gguf, id);
    const bool bracketed = tokens[id].starts_with('[') && tokens[id].ends_with(']');
    if (tokens[id].starts_with(kMetaspace)) {
      tokens[id].erase(0, kMetaspace.size());
    } else if (type != kControlType && type != kUnknownType && !bracketed) {
      tokens[id].insert(0, "##");
    }
  }
  MDSA_ASSIGN(Vocabulary vocabulary, BuildVocabulary(tokens));
  MDSA_TRY(CheckUnicodeForms());
  WordPieceOptions options;
  if (gguf.special.unk) {
    options.unk_token = std::string(vocabulary.Token(*gguf.special.unk).value_or("[UNK]"));
  }
  MDSA_ASSIGN(WordPieceModel model, WordPieceModel::Create(std::move(vocabulary), options));
  impl->model = std::make_unique<WordPieceModel>(std::move(model));
  impl->normalizer = std::make_unique<BertNormalizer>(BertNormalizerOptions{});
  impl->pre_tokenizer = std::make_unique<BertPreTokenizer>();
  impl->decoder = {WordPieceStage("##", true)};
  const auto id_of = [&](std::initializer_list<std::optional<TokenId>> ids,
                         std::string_view name) -> std::optional<TokenId> {
    for (const auto& id : ids) {
      if (id) return id;
    }
    return impl->model->vocabulary().Find(name);
  };
  impl->special.cls = id_of({gguf.special.cls, gguf.special.bos}, "[CLS]");
  impl->special.sep = id_of({gguf.special.sep, gguf.special.eos}, "[SEP]");
  if (!impl->special.cls || !impl->special.sep) {
    return Err(ErrorCode::kInvalidFormat, "the file names no [CLS] and [SEP] tokens");
  }
  impl->post_processor = PostProcessor::Bert(*impl->special.cls, *impl->special.sep);
  return {};
}

// Control tokens and those with a role are special; user-defined ones are found whole as well.
Status AddGgufTokens(const Gguf& gguf, TokenizerImpl* impl) {
  const SpecialTokens& s = impl->special;
  const auto has_role = [&](TokenId id) {
    const auto roles = {s.bos, s.eos, s.unk, s.sep, s.pad, s.cls, s.mask};
    return std::any_of(roles.begin(), roles.end(), [id](const auto& role) { return role == id; });
  };
  const bool byte_level = gguf.model == "gpt2";
  for (std::size_t i = 0; i < gguf.tokens.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const std::int32_t type = TypeOf(gguf, i);
    // In a byte-level vocabulary a control token outside the byte alphabet is a mislabelled one.
    const bool control =
        type == kControlType && (!byte_level || ByteAlphabet::Get().IsSpelled(gguf.tokens[i]));
    const auto spelling = impl->model->vocabulary().Token(id);
    if (!spelling || (!control && type != kUserType && !has_role(id))) continue;
    AddedToken token{std::string(*spelling)};
    token.normalized = false;
    token.special = control || has_role(id);
    MDSA_TRY(impl->added.Add(token, impl->model->vocabulary(), nullptr));
  }
  impl->added.Finish();
  return {};
}

// BOS and EOS around each text, where the file asks for them.
PostProcessor BosEosProcessor(const SpecialTokens& special, bool bos, bool eos) {
  const auto wrap = [&](TemplatePiece::Kind text, TokenId type, std::vector<TemplatePiece>* out) {
    if (bos && special.bos) out->push_back({TemplatePiece::kSpecial, type, {*special.bos}});
    out->push_back({text, type, {}});
    if (eos && special.eos) out->push_back({TemplatePiece::kSpecial, type, {*special.eos}});
  };
  std::vector<TemplatePiece> single;
  wrap(TemplatePiece::kFirst, 0, &single);
  std::vector<TemplatePiece> pair = single;
  wrap(TemplatePiece::kSecond, 1, &pair);
  return PostProcessor(std::move(single), std::move(pair));
}

Status CheckSpecialIds(const Gguf& gguf) {
  const SpecialTokens& s = gguf.special;
  for (const auto& id : {s.bos, s.eos, s.unk, s.sep, s.pad, s.cls, s.mask}) {
    if (id && (*id < 0 || static_cast<std::size_t>(*id) >= gguf.tokens.size())) {
      return Err(ErrorCode::kInvalidFormat,
                 "a special token of tokenizer.ggml has the id {}, but there are {} tokens", *id,
                 gguf.tokens.size());
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<TokenizerImpl>> ReadGgufVocabulary(const Gguf& gguf) {
  if (gguf.tokens.empty()) {
    return Err(ErrorCode::kInvalidFormat, "tokenizer.ggml.tokens is missing or empty");
  }
  MDSA_TRY(CheckSpecialIds(gguf));
  auto impl = std::make_unique<TokenizerImpl>();
  impl->special = gguf.special;
  impl->chat_template = gguf.chat_template;
  if (gguf.model == "bert") {
    MDSA_TRY(BuildWordPiece(gguf, impl.get()));
  } else if (gguf.model == "gpt2") {
    MDSA_ASSIGN(const ByteLevelKind kind, KindOf(gguf.pre));
    MDSA_TRY(BuildByteLevel(gguf, kind, impl.get()));
    impl->post_processor = BosEosProcessor(gguf.special, gguf.add_bos.value_or(kind.add_bos),
                                           gguf.add_eos.value_or(false));
  } else if (gguf.model == "llama") {
    MDSA_TRY(BuildSentencePiece(gguf, impl.get()));
    impl->post_processor =
        BosEosProcessor(gguf.special, gguf.add_bos.value_or(true), gguf.add_eos.value_or(false));
  } else {
    return Err(ErrorCode::kUnsupported,
               "tokenizer.ggml.model is '{}'; gpt2, llama and bert are supported",
               gguf.model.substr(0, 100));
  }
  MDSA_TRY(AddGgufTokens(gguf, impl.get()));
  return impl;
}

}  // namespace mdsa
