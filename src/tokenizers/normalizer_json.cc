#include "tokenizers/bert_normalizer.h"
#include "tokenizers/component_json.h"
#include "tokenizers/unicode_form.h"

namespace mdsa {
namespace {

using NormalizerPtr = std::unique_ptr<Normalizer>;

Result<NormalizerPtr> BertFromJson(const JsonObject& json) {
  BertNormalizerOptions options;
  MDSA_ASSIGN(options.clean_text, json.Bool("clean_text", true));
  MDSA_ASSIGN(options.handle_chinese_chars, json.Bool("handle_chinese_chars", true));
  MDSA_ASSIGN(options.lowercase, json.Bool("lowercase", true));
  if (json.Get("strip_accents")) {
    MDSA_ASSIGN(options.strip_accents, json.Bool("strip_accents", false));
  }
  return std::make_unique<BertNormalizer>(options);
}

Result<NormalizerPtr> SequenceFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const auto array, json.RequiredArray("normalizers"));
  MDSA_ASSIGN(const auto objects, ObjectsOf(array, json.PathOf("normalizers")));
  std::vector<NormalizerPtr> steps;
  for (const JsonObject& object : objects) {
    MDSA_ASSIGN(NormalizerPtr step, NormalizerFromJson(object));
    steps.push_back(std::move(step));
  }
  return std::make_unique<SequenceNormalizer>(std::move(steps));
}

Result<NormalizerPtr> ReplaceFromJson(const JsonObject& json) {
  MDSA_ASSIGN(Pattern pattern, PatternFromJson(json));
  MDSA_ASSIGN(std::string content, json.RequiredString("content"));
  return std::make_unique<ReplaceNormalizer>(std::move(pattern), std::move(content));
}

Result<NormalizerPtr> FormFromJson(UnicodeForm form) {
  MDSA_TRY(CheckUnicodeForms());
  return std::make_unique<UnicodeNormalizer>(form);
}

}  // namespace

Result<NormalizerPtr> NormalizerFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const std::string type, json.Type());
  if (type == "BertNormalizer") {
    MDSA_TRY(CheckUnicodeForms());
    return BertFromJson(json);
  }
  if (type == "Sequence") return SequenceFromJson(json);
  if (type == "Replace") return ReplaceFromJson(json);
  if (type == "Lowercase") return std::make_unique<LowercaseNormalizer>();
  if (type == "StripAccents") return std::make_unique<StripAccentsNormalizer>();
  if (type == "ByteLevel") return std::make_unique<ByteLevelNormalizer>();
  if (type == "NFC") return FormFromJson(UnicodeForm::kNfc);
  if (type == "NFD") return FormFromJson(UnicodeForm::kNfd);
  if (type == "NFKC") return FormFromJson(UnicodeForm::kNfkc);
  if (type == "NFKD") return FormFromJson(UnicodeForm::kNfkd);
  if (type == "Prepend") {
    MDSA_ASSIGN(std::string prefix, json.RequiredString("prepend"));
    return std::make_unique<PrependNormalizer>(std::move(prefix));
  }
  if (type == "Strip") {
    MDSA_ASSIGN(const bool left, json.Bool("strip_left", true));
    MDSA_ASSIGN(const bool right, json.Bool("strip_right", true));
    return std::make_unique<StripNormalizer>(left, right);
  }
  return UnsupportedType(json, type);
}

}  // namespace mdsa
