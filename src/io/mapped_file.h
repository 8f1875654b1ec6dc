// A read-only view of a whole file.
//
// The file must not be written or truncated while it is mapped: a read beyond its new end is a
// SIGBUS, which kills the process, and bytes that change show in the middle of a computation.
// Replacing the file by a rename and deleting it are safe, the view keeps the old content. See
// CheckUnchanged for what can be noticed in time.
#pragma once

#include <sys/stat.h>

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

  // kFailedPrecondition naming the file if its size or time of modification is not what it was at
  // Open; kIo. One system call: cheap enough for every use of bytes() that may have been far from
  // the last. No guarantee, since the file may change right after.
  Status CheckUnchanged() const;

  // Drops the pages that lie wholly within `range` from this process's resident set. They are read
  // again on the next access. `range` must lie in bytes().
  void ReleasePages(std::span<const std::byte> range) const;

 private:
  MappedFile(std::filesystem::path path, int fd, const struct stat& opened, const std::byte* data)
      : path_(std::move(path)), fd_(fd), opened_(opened), data_(data) {}

  std::filesystem::path path_;
  int fd_;              // kept open for CheckUnchanged: the name may mean another file by then
  struct stat opened_;  // at Open
  const std::byte* data_;
  std::size_t size_ = static_cast<std::size_t>(opened_.st_size);
};

// Reads a small file whole. kResourceExhausted if it is larger than `max_bytes`.
Result<std::string> ReadFile(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace mdsa
