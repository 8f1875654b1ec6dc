// What a script learns from `mdsa`: one exit code for each kind of error. docs/cli.md and
// `mdsa --help` list them.
#pragma once

#include "mdsa/result.h"

namespace mdsa::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitInternal = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitCancelled = 130;  // 128 + SIGINT, as shells report it

int ExitCodeOf(ErrorCode code);

// The list for `mdsa --help`.
inline constexpr const char* kExitCodeHelp =
    "Exit codes:\n"
    "  0  success\n"
    "  1  a defect of mdsa\n"
    "  2  wrong usage or an impossible value\n"
    "  3  a model or file was not found\n"
    "  4  a file is damaged, truncated or contradictory\n"
    "  5  well-formed, but not supported by this build or machine\n"
    "  6  memory, context length or another limit does not suffice\n"
    "  7  not possible in this state, or the output exists already\n"
    "  8  the system refused to read or write\n"
    "  9  a wait took too long\n"
    "  130  cancelled (Ctrl-C)\n";

}  // namespace mdsa::cli
