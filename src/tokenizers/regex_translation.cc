#include "tokenizers/regex_translation.h"

#include <unicode/uchar.h>

#include <array>
#include <map>
#include <optional>

#include "base/error.h"
#include "tokenizers/char_class.h"

namespace mdsa {
namespace {

constexpr std::string_view kSpaces =
    R"(\t-\r\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// Everything else, for \S inside brackets; surrogates are no characters.
constexpr std::string_view kNonSpaces =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff})"
    R"(\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff})"
    R"(\x{3001}-\x{d7ff}\x{e000}-\x{10ffff})";
constexpr std::string_view kHexDigits = "0-9a-fA-F";

struct Category {
  std::string_view name;
  std::uint32_t mask;
};
constexpr std::array<Category, 10> kCategories = {{{"L", U_GC_L_MASK},
                                                   {"Lu", U_GC_LU_MASK},
                                                   {"Ll", U_GC_LL_MASK},
                                                   {"Lm", U_GC_LM_MASK},
                                                   {"Lo", U_GC_LO_MASK},
                                                   {"N", U_GC_N_MASK},
                                                   {"Nd", U_GC_ND_MASK},
                                                   {"M", U_GC_M_MASK},
                                                   {"Mn", U_GC_MN_MASK},
                                                   {"P", U_GC_P_MASK}}};

// The characters of a category that were assigned in Unicode 15 and 16, as ranges for a bracket.
std::string YoungRanges(std::uint32_t mask) {
  const CharTable& table = CharTable::Get();
  std::string out;
  const auto belongs = [&](char32_t c) {
    return table.Is(c, kYoung) && (CategoryMask(c) & mask) != 0;
  };
  for (char32_t c = 0x80; c < 0x32000; ++c) {
    if (!belongs(c)) continue;
    char32_t last = c;
    while (belongs(last + 1)) ++last;
    out += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", static_cast<std::uint32_t>(c),
                       static_cast<std::uint32_t>(last));
    c = last;
  }
  return out;
}

// Ranges by category name, computed once.
const std::map<std::string_view, std::string>& AllYoungRanges() {
  static const auto* const ranges = [] {
    auto* map = new std::map<std::string_view, std::string>;
    for (const Category& category : kCategories) {
      (*map)[category.name] = YoungRanges(category.mask);
    }
    return map;
  }();
  return *ranges;
}

class Translator {
 public:
  explicit Translator(std::string_view in) : in_(in) {}

  Result<std::string> Run() {
    while (at_ < in_.size()) {
      if (in_[at_] == '\\') {
        MDSA_TRY(TranslateEscape());
      } else if (in_bracket_) {
        MDSA_TRY(TranslateInBracket());
      } else {
        if (in_[at_] == '[') OpenBracket();
        Copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  void Copy(std::size_t n) {
    n = std::min(n, in_.size() - at_);
    out_.append(in_.substr(at_, n));
    at_ += n;
  }

  // Copies "[", "[^" and a "]" that stands first and so means itself; leaves the last one to Run.
  void OpenBracket() {
    in_bracket_ = true;
    if (in_.substr(at_, 2) == "[^") Copy(1);
    if (in_.substr(at_ + 1, 1) == "]") Copy(1);
  }

  Status TranslateInBracket() {
    const char c = in_[at_];
    if (c == '[') {
      const std::size_t end = in_.find(":]", at_);
      if (in_.substr(at_, 2) != "[:" || end == std::string_view::npos) {
        return Err(ErrorCode::kUnsupported, "regex with nested brackets at byte {}", at_);
      }
      Copy(end + 2 - at_);
      return {};
    }
    if (in_.substr(at_, 2) == "&&") {
      return Err(ErrorCode::kUnsupported, "regex with a set intersection at byte {}", at_);
    }
    if (c == ']') in_bracket_ = false;
    Copy(1);
    return {};
  }

  void Emit(bool negated, std::string_view members) {
    if (in_bracket_) {
      out_.append(members);
    } else {
      out_.append(negated ? "[^" : "[").append(members).append("]");
    }
  }

  void EmitSpaces(bool negated) {
    if (in_bracket_) {
      Emit(false, negated ? kNonSpaces : kSpaces);
    } else {
      Emit(negated, kSpaces);
    }
  }

  Status TranslateEscape() {
    const char c = at_ + 1 < in_.size() ? in_[at_ + 1] : '\0';
    // \C would match one byte of a character, and \K move the start of a match.
    if (c == 'C' || c == 'K') {
      return Err(ErrorCode::kUnsupported, "regex with \\{} at byte {}", c, at_);
    }
    if (c == 's' || c == 'S') {
      EmitSpaces(c == 'S');
      at_ += 2;
    } else if (c == 'h' || (c == 'H' && !in_bracket_)) {
      Emit(c == 'H', kHexDigits);
      at_ += 2;
    } else if (const auto name = PropertyName(); name) {
      const std::string_view escape = in_.substr(at_, name->size() + 4);
      Emit(false, std::string(escape) + AllYoungRanges().at(*name));
      at_ += escape.size();
    } else {
      Copy(2);
    }
    return {};
  }

  // The name in "\p{name}" here, if it is a category that has to be widened.
  std::optional<std::string_view> PropertyName() const {
    if (in_.substr(at_, 3) != "\\p{") return std::nullopt;
    const std::size_t end = in_.find('}', at_);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view name = in_.substr(at_ + 3, end - at_ - 3);
    const auto& ranges = AllYoungRanges();
    const auto found = ranges.find(name);
    if (found == ranges.end() || found->second.empty()) return std::nullopt;
    return name;
  }

  std::string_view in_;
  std::size_t at_ = 0;
  bool in_bracket_ = false;
  std::string out_;
};

}  // namespace

Result<std::string> TranslateRegex(std::string_view pattern) { return Translator(pattern).Run(); }

}  // namespace mdsa
