// Unicode normalization forms as normalizers.
#pragma once

#include <cstdint>
#include <string>

#include "mdsa/result.h"
#include "tokenizers/normalizer.h"

namespace mdsa {

enum class UnicodeForm : std::uint8_t { kNfc, kNfd, kNfkc, kNfkd };

// By the tables of Unicode 9, as the reference: younger characters pass unchanged. ASCII text is
// returned at once. Text longer than INT32_MAX UTF-16 units is left unchanged.
void NormalizeUnicode(UnicodeForm form, std::string* text);

// Whether ICU's data can be had; kInternal otherwise. To be asked once, before the first use.
Status CheckUnicodeForms();

class UnicodeNormalizer final : public Normalizer {
 public:
  explicit UnicodeNormalizer(UnicodeForm form) : form_(form) {}
  void Apply(std::string* text) const override { NormalizeUnicode(form_, text); }

 private:
  UnicodeForm form_;
};

}  // namespace mdsa
