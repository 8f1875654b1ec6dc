#include "tokenizers/regex_translation.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/error.h"
#include "tokenizers/regex_sets.h"
#include "tokenizers/utf8.h"

namespace mdsa {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool IsAsciiLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Takes only what is known to mean the same to PCRE2 once rewritten.
class Translator {
 public:
  explicit Translator(std::string_view in) : in_(in) {}

  Result<std::string> Run() {
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        MDSA_TRY(Escape());
      } else if (c == '[') {
        MDSA_TRY(Bracket());
      } else if (c == '(') {
        MDSA_TRY(OpenGroup());
      } else if (c == ')') {
        atom_ = groups_.empty() ? out_.size() : groups_.back();
        if (!groups_.empty()) groups_.pop_back();
        Copy(1);
      } else if (c == '{') {
        MDSA_TRY(Interval());
      } else {
        // A quantifier belongs to the atom before it.
        if (c != '*' && c != '+' && c != '?') atom_ = out_.size();
        Copy(Utf8Length(c));
      }
    }
    return std::move(out_);
  }

 private:
  char Peek(std::size_t ahead) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool Ahead(std::string_view text) const { return in_.substr(at_).starts_with(text); }

  void Copy(std::size_t n) {
    n = std::min(n, in_.size() - at_);
    out_.append(in_.substr(at_, n));
    at_ += n;
  }

  std::unexpected<Error> Unsupported(std::string_view what) const {
    return Err(ErrorCode::kUnsupported, "regex with {} at byte {}", what, at_);
  }

  // Plain, non-capturing, atomic and looking groups, and options of which "m" lets "." match LF.
  Status OpenGroup() {
    const bool first = out_.size() == group_text_;
    atom_ = out_.size();
    if (Peek(1) == '*') return Unsupported("a verb");
    if (Peek(1) != '?') {
      groups_.push_back(out_.size());
      Copy(1);
      group_text_ = out_.size();
      return {};
    }
    for (const std::string_view kind : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"}) {
      if (!Ahead(kind)) continue;
      groups_.push_back(out_.size());
      Copy(kind.size());
      group_text_ = out_.size();
      return {};
    }
    std::string options = "(?";
    std::size_t end = 2;
    for (; Peek(end) == 'i' || Peek(end) == 'm' || Peek(end) == '-'; ++end) {
      options.push_back(Peek(end) == 'm' ? 's' : Peek(end));
    }
    // Bare options reach over "|" to the end of the group here, but not in PCRE2 further on.
    const bool bare = Peek(end) == ')';
    if (end == 2 || (Peek(end) != ':' && !(bare && first))) {
      return Unsupported("a group of an unknown kind");
    }
    if (!bare) groups_.push_back(out_.size());
    out_.append(options).push_back(Peek(end));
    at_ += end + 1;
    group_text_ = out_.size();
    return {};
  }

  // {n}, {n,}, {n,m} and {,m}; "+" after one repeats it, "?" after {n} makes it optional. Anything
  // else is a plain brace.
  Status Interval() {
    std::size_t end = at_ + 1;
    const auto number = [&] {
      const std::size_t begin = end;
      while (end < in_.size() && IsDigit(in_[end])) ++end;
      return in_.substr(begin, end - begin);
    };
    const std::string_view low = number();
    const bool comma = end < in_.size() && in_[end] == ',';
    if (comma) ++end;
    const std::string_view high = comma ? number() : low;
    if (end >= in_.size() || in_[end] != '}' || (low.empty() && high.empty())) {
      atom_ = out_.size();
      out_.append("\\{");
      ++at_;
      return {};
    }
    if (low.size() > 4 || high.size() > 4) return Unsupported("a large repetition");
    out_.push_back('{');
    out_.append(low.empty() ? "0" : low);
    if (comma) out_.append(",").append(high);
    out_.push_back('}');
    at_ = end + 1;
    if (Peek(0) == '+' || (Peek(0) == '?' && !comma)) {
      const std::string_view out = out_;
      out_ = fmt::format("{}(?:{})", out.substr(0, atom_), out.substr(atom_));
    }
    return {};
  }

  Result<std::string> Set(std::string_view name, bool negated) {
    auto members = RegexSet(name, negated && in_bracket_);
    if (!members) return Unsupported(fmt::format("the set '{}'", name.substr(0, 40)));
    if (in_bracket_) return *std::move(members);
    return std::string(negated ? "[^" : "[") + *members + "]";
  }

  // "\p{Name}", "\p{^Name}" or "\P{Name}".
  Result<std::string> Property() {
    const std::size_t close = in_.find('}', at_);
    if (Peek(2) != '{' || close == std::string_view::npos) return Unsupported("a bare \\p");
    bool negated = Peek(1) == 'P';
    std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    MDSA_ASSIGN(std::string set, Set(name, negated));
    at_ = close + 1;
    return set;
  }

  // Sets in and out of brackets; nullopt for what is none.
  Result<std::optional<std::string>> SetEscape() {
    const char c = Peek(1);
    if (c == 'p' || c == 'P') return Property();
    const bool negated = c == 'S' || c == 'W' || c == 'D' || c == 'H';
    const std::string_view name = c == 's' || c == 'S'   ? "space"
                                  : c == 'd' || c == 'D' ? "nd"
                                  : c == 'h' || c == 'H' ? "xdigit"
                                  : c == 'w' || c == 'W' ? (in_bracket_ ? "[word]" : "\\w")
                                                         : "";
    if (name.empty()) return std::nullopt;
    MDSA_ASSIGN(std::string set, Set(name, negated));
    at_ += 2;
    return set;
  }

  // "\x{H...}", "\xHH" or "\uHHHH", as a code point.
  Result<std::string> CodePoint() {
    const bool braces = Peek(2) == '{';
    const std::size_t begin = at_ + (braces ? 3 : 2);
    const std::size_t most = braces ? 8 : Peek(1) == 'u' ? 4 : 2;
    std::size_t end = begin;
    while (end < in_.size() && end - begin < most && IsHex(in_[end])) ++end;
    const bool closed = !braces || (end < in_.size() && in_[end] == '}');
    const bool whole = Peek(1) == 'u' ? !braces && end - begin == 4 : end > begin;
    // "\xHH" is a byte; only those below 0x80 are characters.
    const bool byte = Peek(1) == 'x' && !braces;
    if (!closed || !whole || (byte && end - begin == 2 && in_[begin] >= '8')) {
      return Unsupported("a number of a character that is not read");
    }
    std::string out = fmt::format("\\x{{{}}}", in_.substr(begin, end - begin));
    at_ = end + (braces ? 1 : 0);
    return out;
  }

  // One character, in or out of brackets.
  Result<std::string> Literal() {
    const char c = Peek(1);
    if (c == 'x' || c == 'u') return CodePoint();
    if (c == 'v') {
      at_ += 2;
      return std::string("\\x{b}");
    }
    if (c == '\0' && at_ + 1 >= in_.size()) {
      return Err(ErrorCode::kInvalidFormat, "regex ends with a backslash");
    }
    const bool control = c == 't' || c == 'n' || c == 'r' || c == 'f' || c == 'a' || c == 'e';
    if (!control && (IsAsciiLetter(c) || IsDigit(c))) {
      return Unsupported(fmt::format("\\{}", c));
    }
    const bool ascii = static_cast<unsigned char>(c) < 0x80;
    const std::size_t length = Utf8Length(c);
    std::string out = ascii ? fmt::format("\\{}", c) : std::string(in_.substr(at_ + 1, length));
    at_ += 1 + length;
    return out;
  }

  Status Escape() {
    atom_ = out_.size();
    switch (Peek(1)) {
      case 'A':
      case 'z':
      case 'Z':
        Copy(2);
        return {};
      case 'b':
      case 'B': {
        MDSA_ASSIGN(const std::string w, Set("\\w", false));
        out_ += Peek(1) == 'b' ? fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", w)
                               : fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", w);
        at_ += 2;
        return {};
      }
      case 'R':
        out_ += R"((?>\r\n|[\n-\r\x{85}\x{2028}\x{2029}]))";
        at_ += 2;
        return {};
      default:
        break;
    }
    MDSA_ASSIGN(const auto set, SetEscape());
    if (set) {
      out_ += *set;
      return {};
    }
    MDSA_ASSIGN(const std::string literal, Literal());
    out_ += literal;
    return {};
  }

  // "[:name:]" inside of brackets.
  Result<std::string> PosixSet() {
    const std::size_t end = in_.find(":]", at_ + 2);
    if (!Ahead("[:") || end == std::string_view::npos) return Unsupported("nested brackets");
    const std::string_view name = in_.substr(at_ + 2, end - at_ - 2);
    // Those whose name means the same elsewhere, and two whose does not.
    constexpr std::string_view kSame[] = {"space", "blank", "cntrl", "xdigit", "digit"};
    const bool same = std::find(std::begin(kSame), std::end(kSame), name) != std::end(kSame);
    if (!same && name != "punct" && name != "word") {
      return Unsupported(fmt::format("[:{}:]", name.substr(0, 40)));
    }
    MDSA_ASSIGN(std::string set, Set(same ? std::string(name) : fmt::format("[{}]", name), false));
    at_ = end + 2;
    return set;
  }

  // A whole bracket. A hyphen is a range only between two characters.
  Status Bracket() {
    atom_ = out_.size();
    in_bracket_ = true;
    Copy(Peek(1) == '^' ? 2 : 1);
    bool after_character = false;  // which a range may begin with
    for (bool first = true;; first = false) {
      if (at_ >= in_.size()) {
        return Err(ErrorCode::kInvalidFormat, "regex '{}' does not compile: a bracket is open",
                   in_.substr(0, 200));
      }
      if (Ahead("&&")) return Unsupported("a set intersection");
      const char c = in_[at_];
      if (c == ']' && !first) break;
      if (c == '-') {
        MDSA_ASSIGN(const bool is_range, Hyphen(after_character));
        after_character = !is_range && first;
        continue;
      }
      MDSA_ASSIGN(after_character, Member());
    }
    Copy(1);
    in_bracket_ = false;
    return {};
  }

  // One member that is no hyphen; whether it is a single character.
  Result<bool> Member() {
    const char c = in_[at_];
    if (c == '[') {
      MDSA_ASSIGN(const std::string set, PosixSet());
      out_ += set;
      return false;
    }
    if (c != '\\') {
      if (c == ']') out_.push_back('\\');
      Copy(Utf8Length(c));
      return true;
    }
    if (Peek(1) == 'b') {
      out_ += "\\x{8}";
      at_ += 2;
      return true;
    }
    MDSA_ASSIGN(const auto set, SetEscape());
    if (set) {
      out_ += *set;
      return false;
    }
    MDSA_ASSIGN(const std::string literal, Literal());
    out_ += literal;
    return true;
  }

  // A hyphen and, if it makes a range, its end; whether it does.
  Result<bool> Hyphen(bool after_character) {
    const char next = Peek(1);
    ++at_;
    const std::size_t mark = out_.size();
    if (!after_character || next == ']' || next == '\0' || next == '[') {
      out_ += "\\-";
      return false;
    }
    out_ += "-";
    MDSA_ASSIGN(const bool single, next == '-' ? CopiedHyphen() : Member());
    if (!single) out_.insert(mark, 1, '\\');
    return true;
  }
  Result<bool> CopiedHyphen() {
    out_ += "\\-";
    ++at_;
    return true;
  }

  std::string_view in_;
  std::size_t at_ = 0;
  bool in_bracket_ = false;
  std::string out_;
  std::size_t atom_ = 0;             // where the last atom begins in out_
  std::size_t group_text_ = 0;       // where the text of the last group that was opened begins
  std::vector<std::size_t> groups_;  // where the open ones begin in out_
};

}  // namespace

Result<std::string> TranslateRegex(std::string_view pattern) { return Translator(pattern).Run(); }

}  // namespace mdsa
