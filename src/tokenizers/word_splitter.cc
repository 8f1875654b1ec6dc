#include "tokenizers/word_splitter.h"

#include "tokenizers/char_class.h"
#include "tokenizers/utf8.h"

namespace mdsa {
namespace {

constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Every character is exactly one of letter, number, space and symbol (0).
constexpr std::uint16_t kKinds = kLetter | kNumber | kSpace;
constexpr std::uint16_t kSymbol = 0;

// Finds the end of the match that starts at a position; one method per alternative or group of
// them. Every method takes positions inside the text.
class WordMatcher {
 public:
  WordMatcher(WordPattern pattern, std::string_view text)
      : text_(text), table_(CharTable::Get()), pattern_(pattern) {}

  std::size_t MatchEnd(std::size_t at) const {
    return pattern_ == WordPattern::kGpt2 ? Gpt2End(at) : Llama3End(at);
  }

 private:
  // Kind of the character at `at`; moves `at` behind it.
  std::uint16_t NextKind(std::size_t* at) const {
    return table_.Classes(NextChar(text_, at)) & kKinds;
  }

  // End of the run of characters of `kind` that starts at `at`.
  std::size_t RunEnd(std::size_t at, std::uint16_t kind) const {
    while (at < text_.size()) {
      std::size_t next = at;
      if (NextKind(&next) != kind) break;
      at = next;
    }
    return at;
  }

  char LowerAt(std::size_t at, bool ignore_case) const {
    const char c = at < text_.size() ? text_[at] : '\0';
    return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  }

  // End of a contraction whose apostrophe is at `at`; `at` itself if there is none.
  std::size_t ContractionEnd(std::size_t at, bool ignore_case) const {
    const char first = LowerAt(at + 1, ignore_case);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    // U+017F, the long s, is an s when case is ignored.
    if (ignore_case && text_.substr(at + 1, 2) == "\xc5\xbf") return at + 3;
    const char second = LowerAt(at + 2, ignore_case);
    const bool two = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                     (first == 'l' && second == 'l');
    return two ? at + 3 : at;
  }

  // \s+(?!\S)|\s+ where white space runs from `at` to `end`: all but the last character if a word
  // follows, so that the last one can belong to the word.
  std::size_t SpaceEnd(std::size_t at, std::size_t end) const {
    if (end == text_.size()) return end;
    const std::size_t last = PreviousChar(text_, end);
    return last > at ? last : end;
  }

  std::size_t Gpt2End(std::size_t at) const {
    if (text_[at] == '\'') {
      if (const std::size_t end = ContractionEnd(at, false); end != at) return end;
    }
    std::size_t next = at;
    std::uint16_t kind = NextKind(&next);
    if (kind != kSpace) return RunEnd(next, kind);
    if (text_[at] == ' ' && next < text_.size()) {
      std::size_t second = next;
      kind = NextKind(&second);
      if (kind != kSpace) return RunEnd(second, kind);
    }
    return SpaceEnd(at, RunEnd(next, kSpace));
  }

  std::size_t NumberEnd(std::size_t next) const {
    if (pattern_ == WordPattern::kQwen2) return next;
    for (int digits = 1; digits < 3 && next < text_.size(); ++digits) {
      std::size_t after = next;
      if (NextKind(&after) != kNumber) break;
      next = after;
    }
    return next;
  }

  // [^\s\p{L}\p{N}]+[\r\n]* with the first symbol before `next`.
  std::size_t SymbolsEnd(std::size_t next) const {
    std::size_t end = RunEnd(next, kSymbol);
    while (end < text_.size() && (text_[end] == '\r' || text_[end] == '\n')) ++end;
    return end;
  }

  std::size_t Llama3End(std::size_t at) const {
    const char lead = text_[at];
    if (lead == '\'') {
      if (const std::size_t end = ContractionEnd(at, true); end != at) return end;
    }
    std::size_t next = at;
    const std::uint16_t kind = NextKind(&next);
    if (kind == kLetter) return RunEnd(next, kLetter);
    if (kind == kNumber) return NumberEnd(next);
    std::uint16_t second_kind = kSpace;
    std::size_t second = next;
    if (next < text_.size()) second_kind = NextKind(&second);
    if (second_kind == kLetter && lead != '\r' && lead != '\n') return RunEnd(second, kLetter);
    if (kind == kSymbol) return SymbolsEnd(next);
    if (lead == ' ' && second != next && second_kind == kSymbol) return SymbolsEnd(second);
    const std::size_t end = RunEnd(next, kSpace);
    const std::size_t newline = text_.substr(at, end - at).find_last_of("\r\n");
    return newline == std::string_view::npos ? SpaceEnd(at, end) : at + newline + 1;
  }

  std::string_view text_;
  const CharTable& table_;
  WordPattern pattern_;
};

}  // namespace

std::optional<WordPattern> KnownWordPattern(std::string_view regex) {
  if (regex == kGpt2Regex) return WordPattern::kGpt2;
  if (regex == kLlama3Regex) return WordPattern::kLlama3;
  if (regex == kQwen2Regex) return WordPattern::kQwen2;
  return std::nullopt;
}

void SplitWords(WordPattern pattern, std::string_view text,
                FunctionRef<void(std::size_t begin, std::size_t end)> word) {
  const WordMatcher matcher(pattern, text);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = matcher.MatchEnd(at);
    word(at, end);
    at = end;
  }
}

}  // namespace mdsa
