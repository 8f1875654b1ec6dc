#include "tokenizers/normalizer.h"

#include "tokenizers/byte_alphabet.h"
#include "tokenizers/char_class.h"
#include "tokenizers/utf8.h"

namespace mdsa {

void SequenceNormalizer::Apply(std::string* text) const {
  for (const auto& step : steps_) step->Apply(text);
}

std::size_t SequenceNormalizer::memory_bytes() const {
  std::size_t bytes = kSmallBytes + HeapBytes(steps_);
  for (const auto& step : steps_) bytes += step->memory_bytes();
  return bytes;
}

void LowercaseNormalizer::Apply(std::string* text) const {
  std::string out;
  out.reserve(text->size());
  for (std::size_t i = 0; i < text->size();) {
    const LowerCase lower = ToLower(NextChar(*text, &i));
    AppendUtf8(lower.first, &out);
    if (lower.second != 0) AppendUtf8(lower.second, &out);
  }
  text->swap(out);
}

void PrependNormalizer::Apply(std::string* text) const {
  if (!text->empty()) text->insert(0, prefix_);
}

void ReplaceNormalizer::Apply(std::string* text) const {
  std::string out;
  pattern_.ForEachSpan(*text, [&](std::size_t begin, std::size_t end, bool is_match) {
    if (is_match) {
      out.append(content_);
    } else {
      out.append(*text, begin, end - begin);
    }
  });
  text->swap(out);
}

void StripNormalizer::Apply(std::string* text) const {
  const CharTable& table = CharTable::Get();
  std::size_t begin = 0;
  while (left_ && begin < text->size()) {
    std::size_t next = begin;
    if (!table.Is(NextChar(*text, &next), kSpace)) break;
    begin = next;
  }
  std::size_t end = text->size();
  while (right_ && end > begin) {
    const std::size_t previous = PreviousChar(*text, end);
    std::size_t position = previous;
    if (!table.Is(NextChar(*text, &position), kSpace)) break;
    end = previous;
  }
  *text = text->substr(begin, end - begin);
}

void StripAccentsNormalizer::Apply(std::string* text) const {
  const CharTable& table = CharTable::Get();
  std::string out;
  out.reserve(text->size());
  for (std::size_t i = 0; i < text->size();) {
    const std::size_t start = i;
    if (!table.Is(NextChar(*text, &i), kCombining)) out.append(*text, start, i - start);
  }
  text->swap(out);
}

void ByteLevelNormalizer::Apply(std::string* text) const {
  std::string out;
  ByteAlphabet::Get().AppendSpelled(*text, &out);
  text->swap(out);
}

}  // namespace mdsa
