#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace mdsa {

void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "mdsa: internal error: CHECK(%s) failed at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace mdsa
