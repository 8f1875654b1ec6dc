#include "tokenizers/regex_sets.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "tokenizers/char_class.h"

namespace mdsa {
namespace {

struct Range {
  char32_t first, last;
};
using Ranges = std::vector<Range>;

constexpr char32_t kEnd = 0x110000;

std::string TextOf(const Ranges& ranges) {
  std::string text;
  for (const Range& range : ranges) {
    text += fmt::format("\\x{{{:x}}}", static_cast<std::uint32_t>(range.first));
    if (range.last == range.first) continue;
    text += fmt::format("-\\x{{{:x}}}", static_cast<std::uint32_t>(range.last));
  }
  return text;
}

// Ranges of the characters for which `belongs` is true. Surrogates are no characters.
template <typename Predicate>
Ranges RangesOf(char32_t end, Predicate belongs) {
  Ranges ranges;
  for (char32_t c = 0; c < end; ++c) {
    if ((c >= 0xd800 && c < 0xe000) || !belongs(c)) continue;
    if (!ranges.empty() && ranges.back().last + 1 == c) {
      ranges.back().last = c;
    } else {
      ranges.push_back({c, c});
    }
  }
  return ranges;
}

// What is not in `ranges`, which are sorted.
Ranges Complement(const Ranges& ranges) {
  auto range = ranges.begin();
  return RangesOf(kEnd, [&](char32_t c) {
    while (range != ranges.end() && range->last < c) ++range;
    return range == ranges.end() || c < range->first;
  });
}

const Ranges kSpaces = {{0x9, 0xd},       {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},
                        {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
                        {0x205f, 0x205f}, {0x3000, 0x3000}};
const Ranges kBlanks = {{0x9, 0x9},       {0x20, 0x20},     {0xa0, 0xa0},     {0x1680, 0x1680},
                        {0x2000, 0x200a}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
const Ranges kControls = {{0, 0x1f}, {0x7f, 0x9f}};
const Ranges kHexDigits = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
// Alphabetic symbols: letters in circles and squares.
const Ranges kCircled = {
    {0x24b6, 0x24e9}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};
// Oniguruma's \w takes these for words, but neither [\w] nor [[:word:]] does.
const Ranges kLatin1Digits = {{0xb2, 0xb3}, {0xb9, 0xb9}, {0xbc, 0xbe}};
// Scripts as of Unicode 16.
const Ranges kHan = {{0x2e80, 0x2e99},   {0x2e9b, 0x2ef3},   {0x2f00, 0x2fd5},   {0x3005, 0x3005},
                     {0x3007, 0x3007},   {0x3021, 0x3029},   {0x3038, 0x303b},   {0x3400, 0x4dbf},
                     {0x4e00, 0x9fff},   {0xf900, 0xfa6d},   {0xfa70, 0xfad9},   {0x16fe2, 0x16fe3},
                     {0x16ff0, 0x16ff1}, {0x20000, 0x2a6df}, {0x2a700, 0x2b739}, {0x2b740, 0x2b81d},
                     {0x2b820, 0x2cea1}, {0x2ceb0, 0x2ebe0}, {0x2ebf0, 0x2ee5d}, {0x2f800, 0x2fa1d},
                     {0x30000, 0x3134a}, {0x31350, 0x323af}};
const Ranges kHiragana = {{0x3041, 0x3096},   {0x309d, 0x309f},   {0x1b001, 0x1b11f},
                          {0x1b132, 0x1b132}, {0x1b150, 0x1b152}, {0x1f200, 0x1f200}};
const Ranges kKatakana = {{0x30a1, 0x30fa},   {0x30fd, 0x30ff},   {0x31f0, 0x31ff},
                          {0x32d0, 0x32fe},   {0x3300, 0x3357},   {0xff66, 0xff6f},
                          {0xff71, 0xff9d},   {0x1aff0, 0x1aff3}, {0x1aff5, 0x1affb},
                          {0x1affd, 0x1affe}, {0x1b000, 0x1b000}, {0x1b120, 0x1b122},
                          {0x1b155, 0x1b155}, {0x1b164, 0x1b167}};
const Ranges kHangul = {{0x1100, 0x11ff}, {0x302e, 0x302f}, {0x3131, 0x318e}, {0x3200, 0x321e},
                        {0x3260, 0x327e}, {0xa960, 0xa97c}, {0xac00, 0xd7a3}, {0xd7b0, 0xd7c6},
                        {0xd7cb, 0xd7fb}, {0xffa0, 0xffbe}, {0xffc2, 0xffc7}, {0xffca, 0xffcf},
                        {0xffd2, 0xffd7}, {0xffda, 0xffdc}};
constexpr std::uint32_t kWordMask =
    U_GC_L_MASK | U_GC_NL_MASK | U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;

// General categories, or a few of them.
struct Categories {
  std::uint32_t mask;
  std::string_view escapes;  // as PCRE2 knows them
};

// By name as Oniguruma compares it: without case, spaces, "-" and "_".
const std::map<std::string_view, Categories>& CategoriesByName() {
  static const std::map<std::string_view, Categories> names = {
      {"l", {U_GC_L_MASK, "\\p{L}"}},
      {"letter", {U_GC_L_MASK, "\\p{L}"}},
      {"lu", {U_GC_LU_MASK, "\\p{Lu}"}},
      {"uppercaseletter", {U_GC_LU_MASK, "\\p{Lu}"}},
      {"ll", {U_GC_LL_MASK, "\\p{Ll}"}},
      {"lowercaseletter", {U_GC_LL_MASK, "\\p{Ll}"}},
      {"lt", {U_GC_LT_MASK, "\\p{Lt}"}},
      {"titlecaseletter", {U_GC_LT_MASK, "\\p{Lt}"}},
      {"lm", {U_GC_LM_MASK, "\\p{Lm}"}},
      {"modifierletter", {U_GC_LM_MASK, "\\p{Lm}"}},
      {"lo", {U_GC_LO_MASK, "\\p{Lo}"}},
      {"otherletter", {U_GC_LO_MASK, "\\p{Lo}"}},
      {"m", {U_GC_M_MASK, "\\p{M}"}},
      {"mark", {U_GC_M_MASK, "\\p{M}"}},
      // Unicode 16 moved a character between these two, so PCRE2's are of no use.
      {"mn", {U_GC_MN_MASK, ""}},
      {"nonspacingmark", {U_GC_MN_MASK, ""}},
      {"mc", {U_GC_MC_MASK, ""}},
      {"spacingmark", {U_GC_MC_MASK, ""}},
      {"me", {U_GC_ME_MASK, "\\p{Me}"}},
      {"n", {U_GC_N_MASK, "\\p{N}"}},
      {"number", {U_GC_N_MASK, "\\p{N}"}},
      {"nd", {U_GC_ND_MASK, "\\p{Nd}"}},
      {"decimalnumber", {U_GC_ND_MASK, "\\p{Nd}"}},
      {"digit", {U_GC_ND_MASK, "\\p{Nd}"}},
      {"nl", {U_GC_NL_MASK, "\\p{Nl}"}},
      {"letternumber", {U_GC_NL_MASK, "\\p{Nl}"}},
      {"no", {U_GC_NO_MASK, "\\p{No}"}},
      {"othernumber", {U_GC_NO_MASK, "\\p{No}"}},
      {"p", {U_GC_P_MASK, "\\p{P}"}},
      {"punct", {U_GC_P_MASK, "\\p{P}"}},
      {"punctuation", {U_GC_P_MASK, "\\p{P}"}},
      {"pc", {U_GC_PC_MASK, "\\p{Pc}"}},
      {"pd", {U_GC_PD_MASK, "\\p{Pd}"}},
      {"ps", {U_GC_PS_MASK, "\\p{Ps}"}},
      {"pe", {U_GC_PE_MASK, "\\p{Pe}"}},
      {"pi", {U_GC_PI_MASK, "\\p{Pi}"}},
      {"pf", {U_GC_PF_MASK, "\\p{Pf}"}},
      {"po", {U_GC_PO_MASK, "\\p{Po}"}},
      {"s", {U_GC_S_MASK, "\\p{S}"}},
      {"symbol", {U_GC_S_MASK, "\\p{S}"}},
      {"sm", {U_GC_SM_MASK, "\\p{Sm}"}},
      {"sc", {U_GC_SC_MASK, "\\p{Sc}"}},
      {"sk", {U_GC_SK_MASK, "\\p{Sk}"}},
      {"so", {U_GC_SO_MASK, "\\p{So}"}},
      {"z", {U_GC_Z_MASK, "\\p{Z}"}},
      {"separator", {U_GC_Z_MASK, "\\p{Z}"}},
      {"zs", {U_GC_ZS_MASK, "\\p{Zs}"}},
      {"zl", {U_GC_ZL_MASK, "\\p{Zl}"}},
      {"zp", {U_GC_ZP_MASK, "\\p{Zp}"}},
      {"[punct]", {U_GC_P_MASK | U_GC_S_MASK, "\\p{P}\\p{S}"}},
      {"[word]", {kWordMask, "\\p{L}\\p{Nl}\\p{M}\\p{Nd}\\p{Pc}"}},
  };
  return names;
}

const std::map<std::string_view, const Ranges*>& RangesByName() {
  static const std::map<std::string_view, const Ranges*> names = {
      {"space", &kSpaces},   {"whitespace", &kSpaces}, {"blank", &kBlanks},
      {"cntrl", &kControls}, {"xdigit", &kHexDigits},  {"han", &kHan},
      {"hangul", &kHangul},  {"hiragana", &kHiragana}, {"katakana", &kKatakana}};
  return names;
}

std::string CategoryMembers(const Categories& categories, bool negated, const Ranges& extra) {
  const std::uint32_t mask = categories.mask;
  if (!negated && !categories.escapes.empty()) {
    // With the characters that PCRE2's older tables lack.
    const CharTable& table = CharTable::Get();
    return std::string(categories.escapes) + TextOf(extra) +
           TextOf(RangesOf(0x32400, [&](char32_t c) {
             return table.Is(c, kYoung) && (CategoryMask(c) & mask) != 0;
           }));
  }
  return TextOf(RangesOf(kEnd, [&](char32_t c) {
    const bool member = (CategoryMask(c) & mask) != 0 ||
                        std::any_of(extra.begin(), extra.end(), [c](const Range& range) {
                          return c >= range.first && c <= range.last;
                        });
    return member != negated;
  }));
}

}  // namespace

std::optional<std::string> RegexSet(std::string_view name, bool negated) {
  std::string key;
  for (const char c : name) {
    if (c != ' ' && c != '-' && c != '_') {
      key.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c);
    }
  }
  if (const auto found = RangesByName().find(key); found != RangesByName().end()) {
    return TextOf(negated ? Complement(*found->second) : *found->second);
  }
  Ranges extra;
  if (key == "\\w" || key == "[word]") extra = kCircled;
  if (key == "\\w") {
    extra.insert(extra.end(), kLatin1Digits.begin(), kLatin1Digits.end());
    key = "[word]";
  }
  const auto found = CategoriesByName().find(key);
  if (found == CategoriesByName().end()) return std::nullopt;
  return CategoryMembers(found->second, negated, extra);
}

}  // namespace mdsa
