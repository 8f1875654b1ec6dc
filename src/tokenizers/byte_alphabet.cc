#include "tokenizers/byte_alphabet.h"

#include "tokenizers/utf8.h"

namespace mdsa {

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    const char32_t c = visible ? byte : next++;
    chars_[byte] = c;
    bytes_[c] = static_cast<std::int16_t>(byte);
    std::string text;
    AppendUtf8(c, &text);
    spellings_[byte] = {{text[0], text.size() > 1 ? text[1] : '\0'},
                        static_cast<std::uint8_t>(text.size())};
  }
}

const ByteAlphabet& ByteAlphabet::Get() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

void ByteAlphabet::AppendSpelled(std::string_view bytes, std::string* out) const {
  const std::size_t old_size = out->size();
  out->resize(old_size + 2 * bytes.size());
  char* to = out->data() + old_size;
  for (const char byte : bytes) {
    const Spelling& spelling = spellings_[static_cast<unsigned char>(byte)];
    to[0] = spelling.text[0];
    to[1] = spelling.text[1];  // overwritten by the next one if the length is 1
    to += spelling.length;
  }
  out->resize(static_cast<std::size_t>(to - out->data()));
}

void ByteAlphabet::AppendBytes(std::string_view spelled, std::string* out) const {
  const std::size_t old_size = out->size();
  for (std::size_t i = 0; i < spelled.size();) {
    const auto byte = ByteOf(NextChar(spelled, &i));
    if (!byte) {
      out->resize(old_size);
      out->append(spelled);
      return;
    }
    out->push_back(static_cast<char>(*byte));
  }
}

bool ByteAlphabet::IsSpelled(std::string_view text) const {
  for (std::size_t i = 0; i < text.size();) {
    if (!ByteOf(NextChar(text, &i))) return false;
  }
  return true;
}

}  // namespace mdsa
