// Oniguruma regexes rewritten for PCRE2.
#pragma once

#include <string>
#include <string_view>

#include "mdsa/result.h"

namespace mdsa {

// The rewritten regex matches what Oniguruma with Unicode 16 would:
//   \s and \S   White_Space exactly (PCRE2 counts U+180E)
//   \p{L} ...   of general categories, with the characters that PCRE2's older tables lack
//   \h and \H   hexadecimal digits
// kUnsupported for set operations inside brackets ("&&", nested brackets).
Result<std::string> TranslateRegex(std::string_view pattern);

}  // namespace mdsa
