// Memory for weights and caches that returns to the operating system the moment it is freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "mdsa/result.h"

namespace mdsa {

// Owns anonymous pages, zeroed, aligned to the page size; a page costs memory only once it is
// written. Move-only. Thread-compatible.
class PageBuffer {
 public:
  PageBuffer() = default;
  // kResourceExhausted if the system refuses. `bytes` may be 0.
  static Result<PageBuffer> Allocate(std::size_t bytes);
  // What a buffer of that size takes once all of it is written: whole pages.
  static std::uint64_t Footprint(std::uint64_t bytes);

  PageBuffer(PageBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  PageBuffer& operator=(PageBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~PageBuffer();

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::span<std::byte> bytes() { return {data_, size_}; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  PageBuffer(std::byte* data, std::size_t size) : data_(data), size_(size) {}

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace mdsa
