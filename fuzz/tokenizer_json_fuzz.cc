// tokenizer.json from anybody: the bytes up to the first NUL are the file, the rest is a text that
// is encoded and decoded with it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mdsa/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find('\0'), input.size());
  mdsa::Tokenizer::Files files;
  files.tokenizer_json = input.substr(0, end);
  const std::string_view text = input.substr(std::min(end + 1, input.size()));
  const auto tokenizer = mdsa::Tokenizer::FromFiles(files);
  if (!tokenizer) return 0;
  const mdsa::Encoding encoding = (*tokenizer)->EncodePair(text, text);
  for (const bool skip : {false, true}) {
    const std::string decoded = (*tokenizer)->Decode(encoding.ids, skip);
    mdsa::DecodeStream stream(*tokenizer, skip);
    std::string streamed;
    for (const mdsa::TokenId id : encoding.ids) streamed += stream.Push(id);
    if (streamed + stream.Finish() != decoded) std::abort();
  }
  return 0;
}
