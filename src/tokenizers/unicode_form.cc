#include "tokenizers/unicode_form.h"

#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <array>
#include <memory>

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
  const icu::UnicodeString result =
      normalizer.normalize(icu::UnicodeString::fromUTF8(*text), error);
  if (U_FAILURE(error)) return;
  text->clear();
  result.toUTF8String(*text);
}

}  // namespace mdsa
