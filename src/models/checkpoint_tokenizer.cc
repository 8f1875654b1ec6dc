#include "models/checkpoint_tokenizer.h"

#include <string>
#include <utility>

#include "base/error.h"
#include "formats/gguf_config.h"
#include "formats/gguf_source.h"
#include "io/mapped_file.h"
#include "models/checkpoint.h"

namespace mdsa {
namespace {

constexpr std::size_t kMaxTokenizerBytes = 200'000'000;  // Gemma's tokenizer.json has 33 MB

// "" if there is no such file; every other failure is passed on, and so is an empty file, which an
// interrupted download leaves behind.
Result<std::string> ReadOptional(const std::filesystem::path& path) {
  auto text = ReadFile(path, kMaxTokenizerBytes);
  if (!text && text.error().code() == ErrorCode::kNotFound) return std::string();
  if (text && text->empty()) {
    return Err(ErrorCode::kInvalidFormat, "'{}' is empty; get it again", path.string());
  }
  return text;
}

Result<std::shared_ptr<const Tokenizer>> FromGguf(const GgufFile& gguf) {
  MDSA_ASSIGN(const Tokenizer::GgufVocabulary vocabulary, GgufVocabularyFrom(gguf));
  return Tokenizer::FromGguf(vocabulary);
}

Result<std::shared_ptr<const Tokenizer>> FromFolder(const std::filesystem::path& folder) {
  MDSA_ASSIGN(const std::string tokenizer_json, ReadOptional(folder / "tokenizer.json"));
  MDSA_ASSIGN(const std::string vocab_txt, ReadOptional(folder / "vocab.txt"));
  if (tokenizer_json.empty() && vocab_txt.empty()) {
    return Err(ErrorCode::kNotFound, "no tokenizer: looked for tokenizer.json and vocab.txt");
  }
  MDSA_ASSIGN(const std::string config, ReadOptional(folder / "tokenizer_config.json"));
  MDSA_ASSIGN(const std::string special, ReadOptional(folder / "special_tokens_map.json"));
  MDSA_ASSIGN(const std::string chat_template, ReadOptional(folder / "chat_template.jinja"));
  return Tokenizer::FromFiles({.tokenizer_json = tokenizer_json,
                               .tokenizer_config_json = config,
                               .special_tokens_map_json = special,
                               .vocab_txt = vocab_txt,
                               .chat_template_jinja = chat_template});
}

std::unexpected<Error> In(const std::filesystem::path& path, Error error) {
  return std::unexpected(std::move(error).AddContext(path.string()));
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> TokenizerFromFolder(const std::filesystem::path& folder) {
  auto tokenizer = FromFolder(folder);
  if (!tokenizer) return In(folder, std::move(tokenizer).error());
  return tokenizer;
}

Result<std::shared_ptr<const Tokenizer>> Checkpoint::LoadTokenizer() const {
  if (gguf_ == nullptr) return TokenizerFromFolder(path_);
  auto tokenizer = FromGguf(gguf_->gguf());
  if (!tokenizer) return In(path_, std::move(tokenizer).error());
  return tokenizer;
}

}  // namespace mdsa
