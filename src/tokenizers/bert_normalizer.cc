#include "tokenizers/bert_normalizer.h"

#include "tokenizers/char_class.h"
#include "tokenizers/unicode_form.h"
#include "tokenizers/utf8.h"

namespace mdsa {

BertNormalizer::BertNormalizer(const BertNormalizerOptions& options)
    : clean_(options.clean_text),
      space_ideographs_(options.handle_chinese_chars),
      strip_accents_(options.strip_accents.value_or(options.lowercase)),
      lowercase_(options.lowercase) {
  const CharTable& table = CharTable::Get();
  for (int c = 0; c < 128; ++c) {
    char to = static_cast<char>(c);
    if (clean_ && table.Is(static_cast<char32_t>(c), kControl)) {
      to = '\0';
    } else if (clean_ && table.Is(static_cast<char32_t>(c), kSpace)) {
      to = ' ';
    } else if (lowercase_ && c >= 'A' && c <= 'Z') {
      to = static_cast<char>(c + ('a' - 'A'));
    }
    ascii_[c] = to;
  }
}

void BertNormalizer::AppendCleaned(char32_t c, std::string* out) const {
  const std::uint16_t classes = CharTable::Get().Classes(c);
  if (clean_ && (classes & kControl)) return;
  if (clean_ && (classes & kSpace)) {
    out->push_back(' ');
  } else if (space_ideographs_ && (classes & kIdeograph)) {
    out->push_back(' ');
    AppendUtf8(c, out);
    out->push_back(' ');
  } else {
    AppendUtf8(c, out);
  }
}

void BertNormalizer::FinishRun(std::string* run) const {
  if (strip_accents_) NormalizeUnicode(UnicodeForm::kNfd, run);
  if (!strip_accents_ && !lowercase_) return;
  const CharTable& table = CharTable::Get();
  std::string out;
  out.reserve(run->size());
  for (std::size_t i = 0; i < run->size();) {
    const char32_t c = NextChar(*run, &i);
    if (strip_accents_ && table.Is(c, kNonspacing)) continue;
    const LowerCase lower = lowercase_ ? ToLower(c) : LowerCase{c, 0};
    AppendUtf8(lower.first, &out);
    if (lower.second != 0) AppendUtf8(lower.second, &out);
  }
  run->swap(out);
}

void BertNormalizer::Apply(std::string* text) const {
  std::string out;
  out.reserve(text->size() + text->size() / 8);
  std::string run;
  for (std::size_t i = 0; i < text->size();) {
    if (const auto byte = static_cast<unsigned char>((*text)[i]); byte < 0x80) {
      if (ascii_[byte] != '\0' || (byte == 0 && !clean_)) out.push_back(ascii_[byte]);
      ++i;
      continue;
    }
    run.clear();
    // Controls that are dropped do not end a run: the marks around them become neighbours.
    while (i < text->size() && (static_cast<unsigned char>((*text)[i]) >= 0x80 ||
                                ascii_[static_cast<unsigned char>((*text)[i])] == '\0')) {
      const char32_t c = NextChar(*text, &i);
      if (c >= 0x80 || !clean_) AppendCleaned(c, &run);
    }
    FinishRun(&run);
    out.append(run);
  }
  text->swap(out);
}

}  // namespace mdsa
