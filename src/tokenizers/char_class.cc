#include "tokenizers/char_class.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <map>

namespace mdsa {
namespace {

constexpr char32_t kLimit = 0x110000;

// Characters that Unicode 15.1 and 16 added, or moved, among letters, marks, numbers, punctuation
// and symbols; sorted.
struct AddedRange {
  char32_t first, last;
  UCharCategory category;
};
constexpr AddedRange kAddedIn16[] = {
    {0x897, 0x897, U_NON_SPACING_MARK},
    {0x1b4e, 0x1b4f, U_OTHER_PUNCTUATION},
    {0x1b7f, 0x1b7f, U_OTHER_PUNCTUATION},
    {0x1c89, 0x1c89, U_UPPERCASE_LETTER},
    {0x1c8a, 0x1c8a, U_LOWERCASE_LETTER},
    {0x2427, 0x2429, U_OTHER_SYMBOL},
    {0x2ffc, 0x2fff, U_OTHER_SYMBOL},
    {0x31e4, 0x31e5, U_OTHER_SYMBOL},
    {0x31ef, 0x31ef, U_OTHER_SYMBOL},
    {0xa7cb, 0xa7cc, U_UPPERCASE_LETTER},
    {0xa7cd, 0xa7cd, U_LOWERCASE_LETTER},
    {0xa7da, 0xa7da, U_UPPERCASE_LETTER},
    {0xa7db, 0xa7db, U_LOWERCASE_LETTER},
    {0xa7dc, 0xa7dc, U_UPPERCASE_LETTER},
    {0x105c0, 0x105f3, U_OTHER_LETTER},
    {0x10d40, 0x10d49, U_DECIMAL_DIGIT_NUMBER},
    {0x10d4a, 0x10d4d, U_OTHER_LETTER},
    {0x10d4e, 0x10d4e, U_MODIFIER_LETTER},
    {0x10d4f, 0x10d4f, U_OTHER_LETTER},
    {0x10d50, 0x10d65, U_UPPERCASE_LETTER},
    {0x10d69, 0x10d6d, U_NON_SPACING_MARK},
    {0x10d6e, 0x10d6e, U_DASH_PUNCTUATION},
    {0x10d6f, 0x10d6f, U_MODIFIER_LETTER},
    {0x10d70, 0x10d85, U_LOWERCASE_LETTER},
    {0x10d8e, 0x10d8f, U_MATH_SYMBOL},
    {0x10ec2, 0x10ec4, U_OTHER_LETTER},
    {0x10efc, 0x10efc, U_NON_SPACING_MARK},
    {0x11380, 0x11389, U_OTHER_LETTER},
    {0x1138b, 0x1138b, U_OTHER_LETTER},
    {0x1138e, 0x1138e, U_OTHER_LETTER},
    {0x11390, 0x113b5, U_OTHER_LETTER},
    {0x113b7, 0x113b7, U_OTHER_LETTER},
    {0x113b8, 0x113ba, U_COMBINING_SPACING_MARK},
    {0x113bb, 0x113c0, U_NON_SPACING_MARK},
    {0x113c2, 0x113c2, U_COMBINING_SPACING_MARK},
    {0x113c5, 0x113c5, U_COMBINING_SPACING_MARK},
    {0x113c7, 0x113ca, U_COMBINING_SPACING_MARK},
    {0x113cc, 0x113cd, U_COMBINING_SPACING_MARK},
    {0x113ce, 0x113ce, U_NON_SPACING_MARK},
    {0x113cf, 0x113cf, U_COMBINING_SPACING_MARK},
    {0x113d0, 0x113d0, U_NON_SPACING_MARK},
    {0x113d1, 0x113d1, U_OTHER_LETTER},
    {0x113d2, 0x113d2, U_NON_SPACING_MARK},
    {0x113d3, 0x113d3, U_OTHER_LETTER},
    {0x113d4, 0x113d5, U_OTHER_PUNCTUATION},
    {0x113d7, 0x113d8, U_OTHER_PUNCTUATION},
    {0x113e1, 0x113e2, U_NON_SPACING_MARK},
    {0x116d0, 0x116e3, U_DECIMAL_DIGIT_NUMBER},
    {0x1171e, 0x1171e, U_COMBINING_SPACING_MARK},
    {0x11bc0, 0x11be0, U_OTHER_LETTER},
    {0x11be1, 0x11be1, U_OTHER_PUNCTUATION},
    {0x11bf0, 0x11bf9, U_DECIMAL_DIGIT_NUMBER},
    {0x11f5a, 0x11f5a, U_NON_SPACING_MARK},
    {0x13460, 0x143fa, U_OTHER_LETTER},
    {0x16100, 0x1611d, U_OTHER_LETTER},
    {0x1611e, 0x16129, U_NON_SPACING_MARK},
    {0x1612a, 0x1612c, U_COMBINING_SPACING_MARK},
    {0x1612d, 0x1612f, U_NON_SPACING_MARK},
    {0x16130, 0x16139, U_DECIMAL_DIGIT_NUMBER},
    {0x16d40, 0x16d42, U_MODIFIER_LETTER},
    {0x16d43, 0x16d6a, U_OTHER_LETTER},
    {0x16d6b, 0x16d6c, U_MODIFIER_LETTER},
    {0x16d6d, 0x16d6f, U_OTHER_PUNCTUATION},
    {0x16d70, 0x16d79, U_DECIMAL_DIGIT_NUMBER},
    {0x18cff, 0x18cff, U_OTHER_LETTER},
    {0x1cc00, 0x1ccef, U_OTHER_SYMBOL},
    {0x1ccf0, 0x1ccf9, U_DECIMAL_DIGIT_NUMBER},
    {0x1cd00, 0x1ceb3, U_OTHER_SYMBOL},
    {0x1e5d0, 0x1e5ed, U_OTHER_LETTER},
    {0x1e5ee, 0x1e5ef, U_NON_SPACING_MARK},
    {0x1e5f0, 0x1e5f0, U_OTHER_LETTER},
    {0x1e5f1, 0x1e5fa, U_DECIMAL_DIGIT_NUMBER},
    {0x1e5ff, 0x1e5ff, U_OTHER_PUNCTUATION},
    {0x1f8b2, 0x1f8bb, U_OTHER_SYMBOL},
    {0x1f8c0, 0x1f8c1, U_OTHER_SYMBOL},
    {0x1fa89, 0x1fa89, U_OTHER_SYMBOL},
    {0x1fa8f, 0x1fa8f, U_OTHER_SYMBOL},
    {0x1fabe, 0x1fabe, U_OTHER_SYMBOL},
    {0x1fac6, 0x1fac6, U_OTHER_SYMBOL},
    {0x1fadc, 0x1fadc, U_OTHER_SYMBOL},
    {0x1fadf, 0x1fadf, U_OTHER_SYMBOL},
    {0x1fae9, 0x1fae9, U_OTHER_SYMBOL},
    {0x1fbcb, 0x1fbef, U_OTHER_SYMBOL},
    {0x2ebf0, 0x2ee5d, U_OTHER_LETTER},
};

// Numbers of Unicode 17, known to Rust's standard library only.
struct Range {
  char32_t first, last;
};
constexpr Range kNumericIn17[] = {{0x11de0, 0x11de9}, {0x16ff4, 0x16ff6}};

// Lower case pairs of Unicode 16 and 17: every `first..last` maps to itself plus `delta`.
struct LowerRange {
  char32_t first, last;
  std::int32_t delta;
};
constexpr LowerRange kLowerIn17[] = {
    {0x1c89, 0x1c89, 1},    {0xa7cb, 0xa7cb, -42343}, {0xa7cc, 0xa7cc, 1}, {0xa7ce, 0xa7ce, 1},
    {0xa7d2, 0xa7d2, 1},    {0xa7d4, 0xa7d4, 1},      {0xa7da, 0xa7da, 1}, {0xa7dc, 0xa7dc, -42561},
    {0x10d50, 0x10d65, 32}, {0x16ea0, 0x16eb8, 27},
};

constexpr std::uint32_t kLetterMask = U_GC_L_MASK;
constexpr std::uint32_t kNumberMask = U_GC_N_MASK;
constexpr std::uint32_t kMarkMask = U_GC_M_MASK;

bool OneOf(char32_t c, std::initializer_list<char32_t> list) {
  return std::find(list.begin(), list.end(), c) != list.end();
}

// The version that introduced `c`, as major * 256 + minor; 0 if ICU does not know it.
int Age(char32_t c) {
  UVersionInfo version;
  u_charAge(static_cast<UChar32>(c), version);
  return version[0] * 256 + version[1];
}

bool IsAsciiPunctuation(char32_t c) {
  return (c >= 0x21 && c <= 0x2f) || (c >= 0x3a && c <= 0x40) || (c >= 0x5b && c <= 0x60) ||
         (c >= 0x7b && c <= 0x7e);
}

// The blocks that BertNormalizer puts spaces around; U+2B820..U+2B91F are missing there, too.
bool IsBertIdeograph(char32_t c) {
  constexpr Range kBlocks[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},
                               {0x20000, 0x2a6df}, {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f},
                               {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};
  return std::any_of(std::begin(kBlocks), std::end(kBlocks),
                     [c](const Range& r) { return c >= r.first && c <= r.last; });
}

// Classes by unicode_categories (Unicode 8); the code points named here are where that crate
// differs from Unicode 8 as ICU sees it.
std::uint16_t ClassesOfUnicode8(char32_t c, std::uint32_t mask, int age) {
  std::uint16_t classes = 0;
  const bool known = age != 0 && age <= 8 * 256;
  if ((known && (mask & U_GC_P_MASK)) || IsAsciiPunctuation(c) || OneOf(c, {0x166d, 0x111c9})) {
    classes |= kPunctuation;
  }
  const bool nonspacing = known && (mask & U_GC_MN_MASK);
  if ((nonspacing && !OneOf(c, {0x1885, 0x1886, 0xa9bd, 0x111c9})) || c == 0x1734) {
    classes |= kNonspacing;
  }
  const bool other = known && (mask & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK));
  if ((other && !OneOf(c, {'\t', '\n', '\r'})) || c == 0xfffd) classes |= kControl;
  return classes;
}

std::uint16_t ClassesOf(char32_t c, std::uint32_t mask) {
  std::uint16_t classes = 0;
  const auto point = static_cast<UChar32>(c);
  const int age = Age(c);
  if (mask & kLetterMask) classes |= kLetter;
  if (mask & kNumberMask) classes |= kNumber | kNumeric;
  if (mask & kMarkMask) classes |= kMarkRegex;
  if (u_isUWhiteSpace(point)) classes |= kSpace;
  if (age >= 15 * 256) classes |= kYoung;
  if ((mask & (kMarkMask | U_GC_ND_MASK | U_GC_PC_MASK)) || OneOf(c, {0x200c, 0x200d}) ||
      u_hasBinaryProperty(point, UCHAR_ALPHABETIC)) {
    classes |= kWordChar;
  }
  if (((mask & kMarkMask) && age <= 9 * 256 && c != 0x111c9) || OneOf(c, {0x1cf2, 0x1cf3})) {
    classes |= kCombining;
  }
  return classes | ClassesOfUnicode8(c, mask, age);
}

// Room for every code point while the table is being built.
using FullTable = std::vector<std::uint16_t>;

UBool U_CALLCONV VisitRange(const void* context, UChar32 start, UChar32 limit, UCharCategory type) {
  FullTable& table = *static_cast<FullTable*>(const_cast<void*>(context));
  if (type == U_UNASSIGNED || type == U_SURROGATE) return true;
  for (UChar32 c = start; c < limit; ++c) {
    // The million private characters beyond the first plane are all alike.
    table[static_cast<std::size_t>(c)] = type == U_PRIVATE_USE_CHAR && c >= 0xf0000
                                             ? static_cast<std::uint16_t>(kControl)
                                             : ClassesOf(static_cast<char32_t>(c), U_MASK(type));
  }
  return true;
}

void AddNewerVersions(FullTable& table) {
  for (const AddedRange& range : kAddedIn16) {
    const std::uint32_t mask = U_MASK(range.category);
    std::uint16_t classes = kYoung;
    if (mask & kLetterMask) classes |= kLetter | kWordChar;
    if (mask & kNumberMask) classes |= kNumber | kNumeric | kWordChar;
    if (mask & kMarkMask) classes |= kMarkRegex | kWordChar;
    for (char32_t c = range.first; c <= range.last; ++c) table[c] |= classes;
  }
  for (const Range& range : kNumericIn17) {
    for (char32_t c = range.first; c <= range.last; ++c) table[c] |= kNumeric;
  }
}

}  // namespace

CharTable::CharTable() {
  FullTable table(kLimit, 0);
  u_enumCharTypes(VisitRange, &table);
  AddNewerVersions(table);
  for (char32_t c = 0x3400; c <= 0x2fa1f; ++c) {
    if (IsBertIdeograph(c)) table[c] |= kIdeograph;
  }
  std::map<std::vector<std::uint16_t>, std::uint16_t> seen;
  for (std::size_t start = 0; start < kLimit; start += 256) {
    const auto begin = table.begin() + static_cast<std::ptrdiff_t>(start);
    std::vector<std::uint16_t> block(begin, begin + 256);
    const auto next = static_cast<std::uint16_t>(seen.size());
    const auto [entry, is_new] = seen.try_emplace(std::move(block), next);
    if (is_new) blocks_.insert(blocks_.end(), entry->first.begin(), entry->first.end());
    index_.push_back(entry->second);
  }
  blocks_.shrink_to_fit();
}

const CharTable& CharTable::Get() {
  static const CharTable table;
  return table;
}

LowerCase ToLower(char32_t c) {
  if (c == 0x130) return {'i', 0x307};
  for (const LowerRange& range : kLowerIn17) {
    if (c >= range.first && c <= range.last) {
      return {static_cast<char32_t>(static_cast<std::int32_t>(c) + range.delta), 0};
    }
  }
  return {static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))), 0};
}

std::uint32_t CategoryMask(char32_t c) {
  const auto* const range =
      std::lower_bound(std::begin(kAddedIn16), std::end(kAddedIn16), c,
                       [](const AddedRange& a, char32_t value) { return a.last < value; });
  if (range != std::end(kAddedIn16) && range->first <= c) return U_MASK(range->category);
  return U_GET_GC_MASK(static_cast<UChar32>(c));
}

}  // namespace mdsa
