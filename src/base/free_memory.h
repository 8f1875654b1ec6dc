// Memory that was freed and that the process still has.
#pragma once

namespace mdsa {

// Gives back to the system what the heap keeps of freed memory (the heap of glibc; others do so by
// themselves or not at all). To be called, without any lock of this library, after something large
// was freed, such as a model: it takes milliseconds, and allocations of other threads wait
// meanwhile. Thread-safe.
void ReturnFreeMemory();

}  // namespace mdsa
