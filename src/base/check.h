// Broken invariants: a defect of this library, never bad input. CHECK stops the process in every
// build; DCHECK only in debug builds, for preconditions of kernels.
#pragma once

namespace mdsa {

[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace mdsa

#define MDSA_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::mdsa::CheckFailed(#condition, __FILE__, __LINE__))

#ifdef NDEBUG
#define MDSA_DCHECK(condition) static_cast<void>(0)
#else
#define MDSA_DCHECK(condition) MDSA_CHECK(condition)
#endif
