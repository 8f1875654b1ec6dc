// Oniguruma regexes rewritten for PCRE2.
#pragma once

#include <string>
#include <string_view>

#include "mdsa/result.h"

namespace mdsa {

// The rewritten regex matches what Oniguruma (Ruby syntax) with Unicode 16 would. Taken are
// literals, escapes of characters, the sets of regex_sets.h, brackets, groups without names,
// looking around and quantifiers; kUnsupported for the rest, among it set operations inside
// brackets
// ("&&", nested brackets), back references and named groups. The result may fail to compile.
Result<std::string> TranslateRegex(std::string_view pattern);

}  // namespace mdsa
