#include "tokenizers/unicode_form.h"

#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/error.h"

namespace mdsa {
namespace {

// The four forms, restricted to characters of Unicode 9.
struct Forms {
  std::unique_ptr<icu::UnicodeSet> characters;
  std::array<std::unique_ptr<const icu::Normalizer2>, 4> by_form;
  UErrorCode error = U_ZERO_ERROR;
};

Forms MakeForms() {
  Forms forms;
  forms.characters =
      std::make_unique<icu::UnicodeSet>(UNICODE_STRING_SIMPLE("[:age=9.0:]"), forms.error);
  if (U_FAILURE(forms.error)) return forms;
  forms.characters->freeze();
  // In the order of UnicodeForm.
  const icu::Normalizer2* const full[] = {icu::Normalizer2::getNFCInstance(forms.error),
                                          icu::Normalizer2::getNFDInstance(forms.error),
                                          icu::Normalizer2::getNFKCInstance(forms.error),
                                          icu::Normalizer2::getNFKDInstance(forms.error)};
  if (U_FAILURE(forms.error)) return forms;
  for (std::size_t i = 0; i < forms.by_form.size(); ++i) {
    forms.by_form[i] = std::make_unique<icu::FilteredNormalizer2>(*full[i], *forms.characters);
  }
  return forms;
}

// Runs shorter than this are left to ICU, which puts marks in order by insertion.
constexpr std::int32_t kLongRun = 32;

// The class by which a character, or what it decomposes to, moves among its neighbours; 0: not.
std::uint8_t LeadingClass(UnicodeForm form, const Forms& forms, UChar32 c) {
  if (c < 0x300) return 0;
  // The only compatibility mappings to a mark: the halfwidth voiced sound marks.
  const bool compatible = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  if (c == 0xff9e || c == 0xff9f) return compatible ? 8 : 0;
  const auto lead =
      static_cast<std::uint8_t>(u_getIntPropertyValue(c, UCHAR_LEAD_CANONICAL_COMBINING_CLASS));
  return lead != 0 && forms.characters->contains(c) ? lead : 0;
}

// Appends the marks text[begin, end) in canonical order.
void AppendOrdered(const icu::Normalizer2& decomposer, const icu::UnicodeString& text,
                   std::int32_t begin, std::int32_t end, icu::UnicodeString* out) {
  std::vector<std::pair<std::uint8_t, UChar32>> marks;
  icu::UnicodeString parts;
  for (std::int32_t i = begin; i < end; i = text.moveIndex32(i, 1)) {
    const UChar32 c = text.char32At(i);
    // A few characters of class 0 stand for two marks.
    if (u_getCombiningClass(c) != 0 || !decomposer.getDecomposition(c, parts)) {
      marks.emplace_back(u_getCombiningClass(c), c);
      continue;
    }
    for (std::int32_t j = 0; j < parts.length(); j = parts.moveIndex32(j, 1)) {
      marks.emplace_back(u_getCombiningClass(parts.char32At(j)), parts.char32At(j));
    }
  }
  std::stable_sort(marks.begin(), marks.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [order, mark] : marks) out->append(mark);
}

// The same text in every form, but with the marks of long runs in canonical order, with which ICU
// needs linear time.
icu::UnicodeString WithOrderedMarks(UnicodeForm form, const Forms& forms,
                                    const icu::UnicodeString& text) {
  const bool compatible = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  const icu::Normalizer2& decomposer =
      *forms.by_form[static_cast<std::size_t>(compatible ? UnicodeForm::kNfkd : UnicodeForm::kNfd)];
  icu::UnicodeString out;
  std::int32_t done = 0, begin = 0, marks = 0;
  for (std::int32_t at = 0; at <= text.length(); at = text.moveIndex32(at, 1)) {
    if (at < text.length() && LeadingClass(form, forms, text.char32At(at)) != 0) {
      if (marks++ == 0) begin = at;
      continue;
    }
    if (marks >= kLongRun) {
      out.append(text, done, begin - done);
      AppendOrdered(decomposer, text, begin, at, &out);
      done = at;
    }
    marks = 0;
    if (at == text.length()) break;
  }
  return out.append(text, done, text.length() - done);
}

const Forms& GetForms() {
  static const Forms forms = MakeForms();
  return forms;
}

}  // namespace

Status CheckUnicodeForms() {
  if (U_SUCCESS(GetForms().error)) return {};
  return Err(ErrorCode::kInternal, "ICU has no normalization data: {}",
             u_errorName(GetForms().error));
}

void NormalizeUnicode(UnicodeForm form, std::string* text) {
  const bool ascii = std::all_of(text->begin(), text->end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  const Forms& forms = GetForms();
  if (ascii || text->size() > INT32_MAX || U_FAILURE(forms.error)) return;
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2& normalizer = *forms.by_form[static_cast<std::size_t>(form)];
  const icu::UnicodeString result = normalizer.normalize(
      WithOrderedMarks(form, forms, icu::UnicodeString::fromUTF8(*text)), error);
  if (U_FAILURE(error)) return;
  text->clear();
  result.toUTF8String(*text);
}

}  // namespace mdsa
