// Lock discipline that the compiler checks: clang's -Wthread-safety reads these, other compilers
// see nothing. https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
#pragma once

#if defined(__clang__)
#define MDSA_THREAD_ANNOTATION(attribute) __attribute__((attribute))
#else
#define MDSA_THREAD_ANNOTATION(attribute)
#endif

#define MDSA_CAPABILITY(name) MDSA_THREAD_ANNOTATION(capability(name))
#define MDSA_SCOPED_CAPABILITY MDSA_THREAD_ANNOTATION(scoped_lockable)
#define MDSA_GUARDED_BY(mutex) MDSA_THREAD_ANNOTATION(guarded_by(mutex))
#define MDSA_ACQUIRED_BEFORE(...) MDSA_THREAD_ANNOTATION(acquired_before(__VA_ARGS__))
#define MDSA_REQUIRES(...) MDSA_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define MDSA_EXCLUDES(...) MDSA_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define MDSA_ACQUIRE(...) MDSA_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define MDSA_RELEASE(...) MDSA_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define MDSA_NO_THREAD_SAFETY_ANALYSIS MDSA_THREAD_ANNOTATION(no_thread_safety_analysis)
