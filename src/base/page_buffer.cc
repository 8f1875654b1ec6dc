#include "base/page_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace mdsa {

Result<PageBuffer> PageBuffer::Allocate(std::size_t bytes) {
  if (bytes == 0) return PageBuffer();
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return Err(ErrorCode::kResourceExhausted, "cannot allocate {} bytes: {}", bytes,
               std::strerror(errno));
  }
  return PageBuffer(static_cast<std::byte*>(data), bytes);
}

std::uint64_t PageBuffer::Footprint(std::uint64_t bytes) {
  static const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return (bytes / page + (bytes % page != 0 ? 1 : 0)) * page;
}

PageBuffer::~PageBuffer() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace mdsa
