// Names from files in error messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mdsa {

// `text` in single quotes, cut after 100 bytes, with control characters, those that change the
// direction of writing and ill-formed UTF-8 shown as '?': a hostile name can neither flood a log
// nor send escape codes to a terminal nor show as another name.
std::string Printable(std::string_view text);
// The same without the quotes, cut after `max_bytes`.
std::string PrintableText(std::string_view text, std::size_t max_bytes);

// Bytes below 0x20 or 0x7f, which no file name of a checkpoint needs.
bool HasControlCharacters(std::string_view text);

}  // namespace mdsa
