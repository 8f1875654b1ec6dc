// Sets of characters that regexes name, as Oniguruma with Unicode 16 has them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mdsa {

// What stands between PCRE2's brackets for a set, or for everything else if `negated`. The name is
// that of a general category or of a script, in any spelling, one of POSIX's (space, blank, cntrl,
// xdigit, and "[punct]" and "[word]", which mean something else between colons), or "\\w".
// nullopt for a set that is not known exactly. Slow when negated.
std::optional<std::string> RegexSet(std::string_view name, bool negated);

}  // namespace mdsa
