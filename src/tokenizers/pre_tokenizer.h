// Pre-tokenizers: how normalized text is cut into the words that the model sees. One class per
// `type` of tokenizer.json.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/function_ref.h"
#include "tokenizers/char_class.h"
#include "tokenizers/regex.h"
#include "tokenizers/split.h"
#include "tokenizers/word_splitter.h"

namespace mdsa {

// Pieces over one buffer. Thread-compatible.
struct PieceList {
  std::string text;
  std::vector<Piece> pieces;

  std::string_view Text(const Piece& piece) const {
    return std::string_view(text).substr(piece.begin, piece.end - piece.begin);
  }
  // Replaces every piece that is not an added token by what `split` adds to the list it is given.
  void Split(FunctionRef<void(const Piece& piece, std::vector<Piece>* out)> split);
  // Replaces the text of every piece that is not an added token by what `rewrite` appends.
  void Rewrite(FunctionRef<void(const Piece& piece, std::string* out)> rewrite);
};

// Immutable; thread-safe.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void Apply(PieceList* list) const = 0;
  // Of the object and all that it holds. Most are small: this much is enough for them.
  virtual std::size_t memory_bytes() const { return kSmallBytes; }

 protected:
  static constexpr std::size_t kSmallBytes = 192;
};

class SequencePreTokenizer final : public PreTokenizer {
 public:
  explicit SequencePreTokenizer(std::vector<std::unique_ptr<PreTokenizer>> steps)
      : steps_(std::move(steps)) {}
  void Apply(PieceList* list) const override;
  std::size_t memory_bytes() const override;

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

// Cuts at characters of a class: WhitespaceSplit, Punctuation, Digits.
class ClassSplit final : public PreTokenizer {
 public:
  ClassSplit(CharClass delimiter, SplitBehavior behavior)
      : delimiter_(delimiter), behavior_(behavior) {}
  void Apply(PieceList* list) const override;

 private:
  CharClass delimiter_;
  SplitBehavior behavior_;
};

// BertPreTokenizer: white space removed, punctuation isolated.
class BertPreTokenizer final : public PreTokenizer {
 public:
  void Apply(PieceList* list) const override;
};

// Whitespace: the words and symbol runs that \w+|[^\w\s]+ matches.
class WhitespacePreTokenizer final : public PreTokenizer {
 public:
  void Apply(PieceList* list) const override;
};

// Split and CharDelimiterSplit.
class PatternSplit final : public PreTokenizer {
 public:
  PatternSplit(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void Apply(PieceList* list) const override;
  std::size_t memory_bytes() const override { return kSmallBytes + pattern_.memory_bytes(); }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

// An isolating Split by one of the well-known regexes, whose matches cover all of a text.
class WordSplit final : public PreTokenizer {
 public:
  explicit WordSplit(WordPattern pattern) : pattern_(pattern) {}
  void Apply(PieceList* list) const override;

 private:
  WordPattern pattern_;
};

// ByteLevel: optional leading space, optional split by the GPT-2 regex, then every byte becomes a
// character of the byte-level alphabet.
class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  ByteLevelPreTokenizer(bool add_prefix_space, bool use_regex)
      : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}
  void Apply(PieceList* list) const override;

 private:
  bool add_prefix_space_;
  bool use_regex_;
};

// Spaces become `replacement` (one character), one is put before the text, and words begin at it.
// kFirst means the piece that begins where the normalized text begins; the reference asks for the
// raw text, which differs only for a normalizer that removes the first character.
enum class PrependScheme : std::uint8_t { kAlways, kFirst, kNever };
class MetaspacePreTokenizer final : public PreTokenizer {
 public:
  MetaspacePreTokenizer(std::string replacement, PrependScheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme), split_(split) {}
  void Apply(PieceList* list) const override;

 private:
  std::string replacement_;
  PrependScheme scheme_;
  bool split_;
};

}  // namespace mdsa
