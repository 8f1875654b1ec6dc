// Text to token ids and back, equal to the Hugging Face `tokenizers` package.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/result.h"

namespace mdsa {

using TokenId = std::int32_t;

struct Encoding {
  std::vector<TokenId> ids;
  std::vector<TokenId> type_ids;                  // segment of each token, BERT's token_type_ids
  std::vector<std::uint8_t> special_tokens_mask;  // 1: added by the post-processor
};

struct EncodeOptions {
  bool add_special_tokens = true;
  // Longest encoding, special tokens counted; 0 or less: no limit. Tokens are cut at the end, or at
  // the beginning if tokenizer_config.json has truncation_side "left", and from the longer text of
  // a pair first.
  std::int64_t max_length = 0;
};

// Names and ids of the tokens with a role; absent ones are nullopt.
struct SpecialTokens {
  std::optional<TokenId> bos, eos, unk, sep, pad, cls, mask;
};

struct TokenizerImpl;
class DecoderChain;

// Immutable after construction. Thread-safe.
class Tokenizer {
 public:
  // The files of a Hugging Face folder as bytes; empty when a file is absent. `tokenizer_json` or
  // `vocab_txt` (a WordPiece vocabulary, one token a line) is needed; kInvalidFormat names the file
  // and the key, kUnsupported the component type.
  struct Files {
    std::string_view tokenizer_json;
    std::string_view tokenizer_config_json;
    std::string_view special_tokens_map_json;
    std::string_view vocab_txt;
    std::string_view chat_template_jinja;
  };
  static Result<std::shared_ptr<const Tokenizer>> FromFiles(const Files& files);

  // What a GGUF file says under tokenizer.ggml.*.
  struct GgufVocabulary {
    std::string model;  // "gpt2" (byte-level BPE), "bert" (WordPiece), "llama" (scored BPE)
    std::string pre;    // name of the pre-tokenizer, e.g. "smollm"
    std::vector<std::string> tokens;
    std::vector<float> scores;  // may be empty
    std::vector<std::int32_t>
        token_types;                  // 1 normal, 2 unknown, 3 control, 4 user, 5 unused, 6 byte
    std::vector<std::string> merges;  // "left right"
    SpecialTokens special;
    std::optional<bool> add_bos, add_eos, add_space_prefix;
    std::string chat_template;
  };
  static Result<std::shared_ptr<const Tokenizer>> FromGguf(const GgufVocabulary& vocabulary);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // `text` is UTF-8; ill-formed bytes are read as U+FFFD, as Python's errors="replace" does.
  Encoding Encode(std::string_view text, const EncodeOptions& options = {}) const;
  Encoding EncodePair(std::string_view first, std::string_view second,
                      const EncodeOptions& options = {}) const;

  // The result is well-formed UTF-8. Ids outside the vocabulary are left out.
  std::string Decode(std::span<const TokenId> ids, bool skip_special_tokens = true) const;

  // Ids, the special and added tokens included, are in [0, vocab_size).
  std::int64_t vocab_size() const;
  std::optional<TokenId> TokenToId(std::string_view token) const;
  std::optional<std::string> IdToToken(TokenId id) const;
  bool IsSpecial(TokenId id) const;

  const SpecialTokens& special_tokens() const;
  // Jinja source, empty if the model has none. Never executed here.
  const std::string& chat_template() const;
  // tokenizer_config.json's model_max_length; 0 if absent or absurd.
  std::int64_t model_max_length() const;
  // tokenizer_config.json's padding_side == "left".
  bool pads_left() const;
  // Bytes held by the vocabulary and its tables.
  std::size_t memory_bytes() const;

 private:
  friend class DecodeStream;
  explicit Tokenizer(std::unique_ptr<const TokenizerImpl> impl);
  std::unique_ptr<const TokenizerImpl> impl_;
};

// Decodes a stream of tokens piece by piece: the concatenation of all pieces equals Decode of all
// ids, and no piece ends inside a character. Linear time over the whole stream, times what a
// Strip decoder may remove from the end of a token. Not thread-safe; one per generation. Keeps the
// tokenizer alive.
class DecodeStream {
 public:
  explicit DecodeStream(std::shared_ptr<const Tokenizer> tokenizer,
                        bool skip_special_tokens = true);
  DecodeStream(DecodeStream&&) noexcept;
  DecodeStream& operator=(DecodeStream&&) noexcept;
  ~DecodeStream();

  // The text that this token completes; often empty for a part of a character.
  std::string Push(TokenId id);
  // What is left at the end, e.g. an incomplete character as U+FFFD. The stream is then ready for
  // another text.
  std::string Finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_tokens_;
  std::unique_ptr<DecoderChain> chain_;
};

}  // namespace mdsa
