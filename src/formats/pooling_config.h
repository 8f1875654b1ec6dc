// How a sentence-transformers folder turns token vectors into one vector a text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mdsa/result.h"

namespace mdsa {

enum class PoolingMode : std::uint8_t { kMean, kCls, kMax, kLastToken };

struct PoolingConfig {
  PoolingMode mode = PoolingMode::kMean;
  bool normalize = false;           // a Normalize module follows
  std::int64_t max_seq_length = 0;  // sentence_bert_config.json; 0 if absent
};

// Where modules.json says the pooling module's config.json is, e.g. "1_Pooling": a folder inside
// the model's. kUnsupported names a module type that mdsa does not know.
Result<std::string> PoolingModulePath(std::string_view modules_json);

// modules.json, the pooling module's config.json and sentence_bert_config.json (may be empty).
// kInvalidFormat or kUnsupported names the file and the key.
Result<PoolingConfig> ParsePoolingConfig(std::string_view modules_json,
                                         std::string_view pooling_json,
                                         std::string_view sentence_bert_json);

}  // namespace mdsa
