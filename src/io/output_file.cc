#include "io/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "io/system_error.h"

namespace mdsa {
namespace {

// 0 or the errno.
int Reserve(int fd, std::uint64_t bytes) {
  // Not posix_fallocate: where the file system cannot reserve, it writes every block instead.
  while (bytes != 0 && fallocate(fd, 0, 0, static_cast<off_t>(bytes)) != 0) {
    // Such a file system shows a full disk at the write.
    if (errno == EOPNOTSUPP || errno == ENOSYS) return 0;
    if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace

Result<OutputFile> OutputFile::Create(const std::filesystem::path& path, std::uint64_t bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return SystemError(path, errno);
  OutputFile file(path, fd);
  if (const int error = Reserve(fd, bytes); error != 0) {
    unlink(path.c_str());
    return SystemError(path, error);
  }
  return file;
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) close(fd_);
}

Status OutputFile::WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return SystemError(path_, errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

Status OutputFile::Close() {
  const int fd = std::exchange(fd_, -1);
  const int sync_error = fsync(fd) == 0 ? 0 : errno;
  const int close_error = close(fd) == 0 ? 0 : errno;
  // EINVAL: a special file that knows no sync.
  if (sync_error != 0 && sync_error != EINVAL) return SystemError(path_, sync_error);
  if (close_error != 0) return SystemError(path_, close_error);
  return {};
}

}  // namespace mdsa
