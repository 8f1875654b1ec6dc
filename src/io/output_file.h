// A file that is being written, at any place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

#include "mdsa/result.h"

namespace mdsa {

// Owns the descriptor; move-only. Not thread-safe.
class OutputFile {
 public:
  // kAlreadyExists, or kIo naming the path. Reserves `bytes` where the file system can, so that a
  // full disk or quota shows before the work and not after it. After an error there is no new file.
  static Result<OutputFile> Create(const std::filesystem::path& path, std::uint64_t bytes);

  OutputFile(OutputFile&& other) noexcept
      : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  OutputFile& operator=(OutputFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OutputFile();

  Status WriteAt(std::uint64_t offset, std::span<const std::byte> bytes);
  // Returns when the bytes are on the disk. Nothing can be written after it.
  Status Close();

 private:
  OutputFile(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::filesystem::path path_;
  int fd_;
};

}  // namespace mdsa
