#include "models/checkpoint_tokenizer.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/function_ref.h"
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

// Reads a file in parts, which leave the resident set again: a look before a load must not take
// what it asks about. False if there is no such file.
bool ReadInParts(const std::filesystem::path& path,
                 FunctionRef<void(std::span<const std::byte>)> take) {
  constexpr std::size_t kPart = 1 << 20;
  const auto file = MappedFile::Open(path);
  if (!file) return false;
  std::span<const std::byte> rest = (*file)->bytes();
  while (!rest.empty()) {
    const auto part = rest.first(std::min(kPart, rest.size()));
    take(part);
    (*file)->ReleasePages(part);
    rest = rest.subspan(part.size());
  }
  return true;
}

std::uint64_t FileSize(const std::filesystem::path& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  return error ? 0 : size;
}

TokenizerSize SizeInFolder(const std::filesystem::path& folder) {
  TokenizerJsonCounter json;
  TokenizerSize size;
  if (ReadInParts(folder / "tokenizer.json", [&](auto part) { json.Read(part); })) {
    size = json.Size();
    size.loading += FileSize(folder / "vocab.txt");  // read all the same
  } else {
    std::uint64_t bytes = 0;
    std::uint64_t lines = 0;
    const auto count = [&](std::span<const std::byte> part) {
      bytes += part.size();
      lines += static_cast<std::uint64_t>(std::ranges::count(part, std::byte{'\n'}));
    };
    if (!ReadInParts(folder / "vocab.txt", count)) return size;
    size = SizeOfVocabTxt(bytes, lines + 1);
  }
  // The text and its parsed form; the chat template stays.
  const std::uint64_t configs = FileSize(folder / "tokenizer_config.json") +
                                FileSize(folder / "special_tokens_map.json") +
                                FileSize(folder / "chat_template.jinja");
  size.resident += configs;
  size.loading += 8 * configs;
  return size;
}

TokenizerSize SizeInGguf(const GgufFile& gguf) {
  const auto array = [&](std::string_view name) {
    return gguf.Array("tokenizer.ggml." + std::string(name)).value_or(GgufArray());
  };
  const GgufArray tokens = array("tokens");
  const GgufArray merges = array("merges");
  const GgufArray scores = array("scores");
  const GgufArray types = array("token_type");
  if (tokens.count == 0) return {};
  GgufVocabularyCounts counts;
  counts.tokens = tokens.count;
  counts.token_bytes = tokens.bytes.size() - tokens.count * sizeof(std::uint64_t);
  counts.merges = merges.count;
  counts.derives_merges = merges.count == 0 && scores.count > 0;
  if (const auto values = gguf.Integers("tokenizer.ggml.token_type"); values && *values) {
    counts.added = static_cast<std::uint64_t>(
        std::ranges::count_if(**values, [](std::int32_t type) { return type != 1; }));
  }
  if (const auto text = gguf.String("tokenizer.chat_template"); text && *text) {
    counts.template_bytes = (*text)->size();
  }
  TokenizerSize size = SizeOfGguf(counts);
  // The pages of the file that all this is read from.
  size.loading += tokens.bytes.size() + merges.bytes.size() + scores.bytes.size() +
                  types.bytes.size() + counts.template_bytes;
  return size;
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

TokenizerSize Checkpoint::SizeOfTokenizer() const {
  return gguf_ == nullptr ? SizeInFolder(path_) : SizeInGguf(gguf_->gguf());
}

Result<std::shared_ptr<const Tokenizer>> Checkpoint::LoadTokenizer() const {
  if (gguf_ == nullptr) return TokenizerFromFolder(path_);
  auto tokenizer = FromGguf(gguf_->gguf());
  if (!tokenizer) return In(path_, std::move(tokenizer).error());
  return tokenizer;
}

}  // namespace mdsa
