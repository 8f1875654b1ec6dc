// The files of a tokenizer from anybody, each up to a NUL: tokenizer.json, tokenizer_config.json,
// special_tokens_map.json, vocab.txt. The rest is a text that is encoded and decoded with it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tokenizer_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto next = [&] {
    const std::string_view part = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    return part;
  };
  mdsa::Tokenizer::Files files;
  files.tokenizer_json = next();
  files.tokenizer_config_json = next();
  files.special_tokens_map_json = next();
  files.vocab_txt = next();
  const auto tokenizer = mdsa::Tokenizer::FromFiles(files);
  if (tokenizer) {
    mdsa::CheckTokenizer(*tokenizer, rest);
  } else {
    MDSA_CHECK(!tokenizer.error().ToString().empty());
  }
  return 0;
}
