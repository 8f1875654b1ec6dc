// Internal to src/kernels: memory that a thread keeps between calls, so that the steady state
// allocates nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace mdsa::kernels {

// Grows, never shrinks, aligned to 64 bytes. Not thread-safe: meant to be thread_local.
class ScratchBuffer {
 public:
  // Uninitialized; what an earlier call wrote is gone when the buffer grows.
  std::byte* Get(std::int64_t bytes) {
    if (bytes > size_) {
      memory_.reset();  // first, so that both never exist together
      memory_.reset(static_cast<std::byte*>(
          ::operator new(static_cast<std::size_t>(bytes), std::align_val_t{64})));
      size_ = bytes;
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{64}); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::int64_t size_ = 0;
};

}  // namespace mdsa::kernels
