#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace mdsa {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

struct OpenedFile {
  FileDescriptor fd;
  struct stat info;

  std::size_t size() const { return static_cast<std::size_t>(info.st_size); }
};

Result<OpenedFile> OpenRegularFile(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO must fail the regular-file check below instead of waiting for a
  // writer. It has no effect on regular files.
  FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) {
    const int error = errno;
    const bool missing = error == ENOENT || error == ENOTDIR;
    return Err(missing ? ErrorCode::kNotFound : ErrorCode::kIo, "cannot open '{}': {}",
               path.string(), std::strerror(error));
  }
  struct stat info;
  if (fstat(fd.get(), &info) != 0) {
    return Err(ErrorCode::kIo, "cannot stat '{}': {}", path.string(), std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    return Err(ErrorCode::kInvalidFormat, "'{}' is {}, not a regular file", path.string(),
               S_ISDIR(info.st_mode) ? "a directory" : "a device, pipe or socket");
  }
  return OpenedFile{std::move(fd), info};
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::filesystem::path& path) {
  MDSA_ASSIGN(OpenedFile file, OpenRegularFile(path));
  const std::byte* data = nullptr;
  if (file.size() != 0) {
    void* mapped = mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE, file.fd.get(), 0);
    if (mapped == MAP_FAILED) {
      return Err(ErrorCode::kIo, "cannot map '{}' ({} bytes): {}", path.string(), file.size(),
                 std::strerror(errno));
    }
    data = static_cast<const std::byte*>(mapped);
  }
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, file.fd.Release(), file.info, data));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
  close(fd_);
}

Status MappedFile::CheckUnchanged() const {
  struct stat now;
  if (fstat(fd_, &now) != 0) {
    return Err(ErrorCode::kIo, "cannot stat '{}': {}", path_.string(), std::strerror(errno));
  }
  if (now.st_size != opened_.st_size || now.st_mtim.tv_sec != opened_.st_mtim.tv_sec ||
      now.st_mtim.tv_nsec != opened_.st_mtim.tv_nsec) {
    return Err(ErrorCode::kFailedPrecondition,
               "'{}' changed since it was loaded; load the model again", path_.string());
  }
  return {};
}

void MappedFile::ReleasePages(std::span<const std::byte> range) const {
  if (range.empty()) return;
  MDSA_CHECK(range.data() >= data_ && range.data() + range.size() <= data_ + size_);
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(range.data());
  const std::uintptr_t first = (begin + page - 1) / page * page;
  const std::uintptr_t last = (begin + range.size()) / page * page;
  // Advice only: if the system declines, the pages merely stay resident.
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

Result<std::string> ReadFile(const std::filesystem::path& path, std::size_t max_bytes) {
  MDSA_ASSIGN(OpenedFile file, OpenRegularFile(path));
  if (file.size() > max_bytes) {
    return Err(ErrorCode::kResourceExhausted, "'{}' has {} bytes; at most {} are read",
               path.string(), file.size(), max_bytes);
  }
  std::string content(file.size(), '\0');
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t got = read(file.fd.get(), content.data() + done, content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return Err(ErrorCode::kIo, "cannot read '{}': {}", path.string(), std::strerror(errno));
    }
    if (got == 0) break;  // the file shrank since fstat
    done += static_cast<std::size_t>(got);
  }
  content.resize(done);
  return content;
}

}  // namespace mdsa
