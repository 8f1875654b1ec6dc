// What a GGUF file says about its model.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "formats/architecture_config.h"
#include "formats/gguf.h"
#include "formats/pooling_config.h"
#include "mdsa/result.h"
#include "mdsa/tokenizer.h"

namespace mdsa {

// From "general.architecture" (llama, phi2 or bert) and the keys under it. kUnsupported lists what
// is supported; other errors name the key.
Result<ArchitectureConfig> ArchitectureConfigFromGguf(const GgufFile& file);

// "{arch}.pooling_type" of an encoder; nullopt if absent or "none". The file does not say whether
// vectors are normalized, so they are not.
Result<std::optional<PoolingConfig>> PoolingConfigFromGguf(const GgufFile& file);

// The keys under tokenizer.ggml. kNotFound if there is no vocabulary at all. Ids are within it.
Result<Tokenizer::GgufVocabulary> GgufVocabularyFrom(const GgufFile& file);

// "tokenizer.ggml.{name}", e.g. "bos_token_id", in [0, vocab_size); nullopt if the file names none.
// An id beyond the vocabulary is kInvalidFormat for bos and eos, without which a model computes
// something else, and none for the others, which many files carry along from another vocabulary.
Result<std::optional<TokenId>> GgufTokenId(const GgufFile& file, std::string_view name,
                                           std::int64_t vocab_size);

}  // namespace mdsa
