// The components of tokenizer.json, built from their JSON. Errors name the key: kInvalidFormat for
// what no tokenizer.json may hold, kUnsupported for a type that is not implemented.
#pragma once

#include <initializer_list>
#include <memory>
#include <string_view>
#include <vector>

#include "mdsa/result.h"
#include "tokenizers/added_vocabulary.h"
#include "tokenizers/decoder.h"
#include "tokenizers/json_reader.h"
#include "tokenizers/model.h"
#include "tokenizers/normalizer.h"
#include "tokenizers/post_processor.h"
#include "tokenizers/pre_tokenizer.h"

namespace mdsa {

Result<std::unique_ptr<Normalizer>> NormalizerFromJson(const JsonObject& json);
Result<std::unique_ptr<PreTokenizer>> PreTokenizerFromJson(const JsonObject& json);
Result<std::unique_ptr<TokenModel>> ModelFromJson(const JsonObject& json);
Result<PostProcessor> PostProcessorFromJson(const JsonObject& json);
Result<std::vector<StageMaker>> DecoderFromJson(const JsonObject& json);
Result<AddedToken> AddedTokenFromJson(const JsonObject& json);

// kUnsupported if the components under these keys of a tokenizer.json, one after another, are too
// many steps or can make a text much longer.
Status CheckGrowth(const JsonObject& tokenizer, std::initializer_list<std::string_view> keys);

// {"String": "..."} or {"Regex": "..."} under "pattern".
Result<Pattern> PatternFromJson(const JsonObject& json);
// "replacement" (one character), "prepend_scheme" and the older "add_prefix_space" of Metaspace.
struct MetaspaceOptions {
  std::string replacement;
  PrependScheme scheme;
};
Result<MetaspaceOptions> MetaspaceFromJson(const JsonObject& json);

}  // namespace mdsa
