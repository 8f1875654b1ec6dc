// What holds for every tokenizer and text.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "mdsa/tokenizer.h"

namespace mdsa {

// Encodes and decodes `text`; the pieces of a stream are the whole.
inline void CheckTokenizer(const std::shared_ptr<const Tokenizer>& tokenizer,
                           std::string_view text) {
  const Encoding encoding = tokenizer->EncodePair(text, text);
  MDSA_CHECK(encoding.type_ids.size() == encoding.ids.size());
  for (const bool skip : {false, true}) {
    const std::string decoded = tokenizer->Decode(encoding.ids, skip);
    DecodeStream stream(tokenizer, skip);
    std::string streamed;
    for (const TokenId id : encoding.ids) streamed += stream.Push(id);
    MDSA_CHECK(streamed + stream.Finish() == decoded);
  }
}

}  // namespace mdsa
