// A read-only view of a whole file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "mdsa/result.h"

namespace mdsa {

// Thread-safe: immutable after Open. Spans into bytes() live as long as the object.
class MappedFile {
 public:
  // kNotFound, kIo (the path is named), or kInvalidFormat when it is not a regular file. An empty
  // file gives an empty span.
  static Result<std::shared_ptr<const MappedFile>> Open(const std::filesystem::path& path);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Drops the pages that lie wholly within `range` from this process's resident set. They are read
  // again on the next access. `range` must lie in bytes().
  void ReleasePages(std::span<const std::byte> range) const;

 private:
  MappedFile(std::filesystem::path path, const std::byte* data, std::size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}

  std::filesystem::path path_;
  const std::byte* data_;
  std::size_t size_;
};

// Reads a small file whole. kResourceExhausted if it is larger than `max_bytes`.
Result<std::string> ReadFile(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace mdsa
