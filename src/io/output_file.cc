#include "io/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace mdsa {
namespace {

std::unexpected<Error> SystemError(const std::filesystem::path& path, int error) {
  const ErrorCode code = error == EEXIST ? ErrorCode::kAlreadyExists : ErrorCode::kIo;
  return Err(code, "{}: {}", path.string(), std::strerror(error));
}

}  // namespace

Result<OutputFile> OutputFile::Create(const std::filesystem::path& path, std::uint64_t bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return SystemError(path, errno);
  OutputFile file(path, fd);
  // File systems that cannot reserve say EOPNOTSUPP or EINVAL; they show a full disk at the write.
  const int error = bytes == 0 ? 0 : posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  if (error == ENOSPC || error == EFBIG) return SystemError(path, error);
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
