// Names from files in error messages.
#pragma once

#include <string>
#include <string_view>

namespace mdsa {

// `text` in single quotes, cut after 100 bytes, with control characters and ill-formed UTF-8 shown
// as '?': a hostile name can neither flood a log nor send escape codes to a terminal.
std::string Printable(std::string_view text);

}  // namespace mdsa
