// Patterns of tokenizer.json: plain strings and Oniguruma regexes, run by PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/function_ref.h"
#include "mdsa/result.h"

namespace mdsa {

// Called for each part of a text, in order and without gaps. A match may be empty.
using SpanSink = FunctionRef<void(std::size_t begin, std::size_t end, bool is_match)>;

// A compiled regex with the semantics of Oniguruma's default (Ruby) syntax as far as pre-tokenizers
// use it: leftmost match, ordered alternatives, ^ and $ at every line, Unicode 16 classes.
// Backtracking over a whole text is limited, in proportion to its length; where the limit is hit
// the rest of the text is one unmatched part, so no regex can hang. Immutable; thread-safe.
class Regex {
 public:
  // kInvalidFormat with the position if it does not compile, kUnsupported for Oniguruma syntax
  // that PCRE2 reads differently.
  static Result<Regex> Compile(std::string_view pattern);

  // `text` must be well-formed UTF-8; an empty text gives no spans.
  void ForEachSpan(std::string_view text, SpanSink sink) const;
  // Of the compiled code, the machine code included.
  std::size_t memory_bytes() const;

 private:
  struct Code;
  class Search;
  explicit Regex(std::shared_ptr<const Code> code) : code_(std::move(code)) {}

  std::shared_ptr<const Code> code_;
};

// {"String": ...} or {"Regex": ...}. Immutable; thread-safe.
class Pattern {
 public:
  // An empty string matches nowhere.
  static Pattern FromString(std::string text) { return Pattern(std::move(text)); }
  static Result<Pattern> FromRegex(std::string_view regex);

  void ForEachSpan(std::string_view text, SpanSink sink) const;
  std::size_t memory_bytes() const;
  // The string if it is one, else null.
  const std::string* literal() const { return std::get_if<std::string>(&pattern_); }

 private:
  explicit Pattern(std::variant<std::string, Regex> pattern) : pattern_(std::move(pattern)) {}

  std::variant<std::string, Regex> pattern_;
};

}  // namespace mdsa
