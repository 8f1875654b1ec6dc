#include "tokenizers/component_json.h"

namespace mdsa {
namespace {

using PreTokenizerPtr = std::unique_ptr<PreTokenizer>;

Result<SplitBehavior> BehaviorFromJson(const JsonObject& json, std::string_view fallback) {
  MDSA_ASSIGN(const std::string name, json.String("behavior", fallback));
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return Err(ErrorCode::kInvalidFormat, "'{}' is '{}', which is no way to split",
             json.PathOf("behavior"), name.substr(0, 100));
}

Result<PreTokenizerPtr> SequenceFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const auto array, json.RequiredArray("pretokenizers"));
  MDSA_ASSIGN(const auto objects, ObjectsOf(array, json.PathOf("pretokenizers")));
  std::vector<PreTokenizerPtr> steps;
  for (const JsonObject& object : objects) {
    MDSA_ASSIGN(PreTokenizerPtr step, PreTokenizerFromJson(object));
    steps.push_back(std::move(step));
  }
  return std::make_unique<SequencePreTokenizer>(std::move(steps));
}

Result<PreTokenizerPtr> SplitFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const SplitBehavior behavior, BehaviorFromJson(json, "Isolated"));
  MDSA_ASSIGN(const bool invert, json.Bool("invert", false));
  MDSA_ASSIGN(const JsonObject source, json.RequiredObject("pattern"));
  if (source.Get("Regex") && behavior == SplitBehavior::kIsolated) {
    MDSA_ASSIGN(const std::string regex, source.RequiredString("Regex"));
    if (const auto known = KnownWordPattern(regex)) return std::make_unique<WordSplit>(*known);
  }
  MDSA_ASSIGN(Pattern pattern, PatternFromJson(json));
  return std::make_unique<PatternSplit>(std::move(pattern), behavior, invert);
}

Result<PreTokenizerPtr> ByteLevelFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const bool add_prefix_space, json.Bool("add_prefix_space", true));
  MDSA_ASSIGN(const bool use_regex, json.Bool("use_regex", true));
  return std::make_unique<ByteLevelPreTokenizer>(add_prefix_space, use_regex);
}

Result<PreTokenizerPtr> MetaspacePreTokenizerFromJson(const JsonObject& json) {
  MDSA_ASSIGN(MetaspaceOptions options, MetaspaceFromJson(json));
  MDSA_ASSIGN(const bool split, json.Bool("split", true));
  return std::make_unique<MetaspacePreTokenizer>(std::move(options.replacement), options.scheme,
                                                 split);
}

}  // namespace

Result<Pattern> PatternFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const JsonObject pattern, json.RequiredObject("pattern"));
  if (pattern.Get("String")) {
    MDSA_ASSIGN(std::string text, pattern.RequiredString("String"));
    return Pattern::FromString(std::move(text));
  }
  MDSA_ASSIGN(const std::string regex, pattern.RequiredString("Regex"));
  auto compiled = Pattern::FromRegex(regex);
  if (!compiled) return std::unexpected(std::move(compiled).error().AddContext(pattern.path()));
  return compiled;
}

Result<MetaspaceOptions> MetaspaceFromJson(const JsonObject& json) {
  MetaspaceOptions options;
  MDSA_ASSIGN(options.replacement, json.RequiredChar("replacement"));
  MDSA_ASSIGN(const std::string scheme, json.String("prepend_scheme", "always"));
  if (scheme == "always") {
    options.scheme = PrependScheme::kAlways;
  } else if (scheme == "first") {
    options.scheme = PrependScheme::kFirst;
  } else if (scheme == "never") {
    options.scheme = PrependScheme::kNever;
  } else {
    return Err(ErrorCode::kInvalidFormat, "'{}' is '{}'; it must be always, first or never",
               json.PathOf("prepend_scheme"), scheme.substr(0, 100));
  }
  // The older spelling of "never".
  MDSA_ASSIGN(const bool add_prefix_space, json.Bool("add_prefix_space", true));
  if (!add_prefix_space) options.scheme = PrependScheme::kNever;
  return options;
}

Result<PreTokenizerPtr> PreTokenizerFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const std::string type, json.Type());
  if (type == "Sequence") return SequenceFromJson(json);
  if (type == "Split") return SplitFromJson(json);
  if (type == "ByteLevel") return ByteLevelFromJson(json);
  if (type == "Metaspace") return MetaspacePreTokenizerFromJson(json);
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "Whitespace") return std::make_unique<WhitespacePreTokenizer>();
  if (type == "WhitespaceSplit") {
    return std::make_unique<ClassSplit>(kSpace, SplitBehavior::kRemoved);
  }
  if (type == "Punctuation") {
    MDSA_ASSIGN(const SplitBehavior behavior, BehaviorFromJson(json, "Isolated"));
    return std::make_unique<ClassSplit>(kPunctuation, behavior);
  }
  if (type == "Digits") {
    MDSA_ASSIGN(const bool individual, json.Bool("individual_digits", false));
    return std::make_unique<ClassSplit>(
        kNumeric, individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
  }
  if (type == "CharDelimiterSplit") {
    MDSA_ASSIGN(std::string delimiter, json.RequiredChar("delimiter"));
    return std::make_unique<PatternSplit>(Pattern::FromString(std::move(delimiter)),
                                          SplitBehavior::kRemoved, false);
  }
  return UnsupportedType(json, type);
}

}  // namespace mdsa
