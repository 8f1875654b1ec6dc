#include "io/staged_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> SystemError(const fs::path& path, int error) {
  return Err(ErrorCode::kIo, "{}: {}", path.string(), std::strerror(error));
}

std::unexpected<Error> AlreadyThere(const fs::path& target) {
  return Err(ErrorCode::kAlreadyExists, "{}: exists already", target.string());
}

// Without a trailing slash, so that parent_path() is the folder that holds it.
Result<fs::path> Normal(const fs::path& target) {
  std::error_code error;
  fs::path path = fs::absolute(target, error).lexically_normal();
  if (error) return SystemError(target, error.value());
  if (!path.has_filename()) path = path.parent_path();
  if (!path.has_filename()) {
    return Err(ErrorCode::kInvalidArgument, "'{}' names no folder to create", target.string());
  }
  return path;
}

// A new folder beside `target`, hidden, of the permissions of any new folder.
Result<fs::path> MakeSibling(const fs::path& target) {
  for (int attempt = 0;; ++attempt) {
    const std::string name =
        fmt::format(".{}.partial-{}-{}", target.filename().string(), getpid(), attempt);
    const fs::path path = target.parent_path() / name;
    if (mkdir(path.c_str(), 0777) == 0) return path;
    if (errno != EEXIST) return SystemError(path, errno);
  }
}

// File systems without the flags of renameat2 say EINVAL, old kernels ENOSYS.
bool KnowsNoFlags(int error) { return error == EINVAL || error == ENOSYS; }

// 0 or the errno. Puts `from` where nothing may be.
int RenameNew(const fs::path& from, const fs::path& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (!KnowsNoFlags(errno)) return errno;
  return std::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

// 0 or the errno. The two change places, in one step where the file system can.
int Exchange(const fs::path& from, const fs::path& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return 0;
  if (!KnowsNoFlags(errno)) return errno;
  const std::string aside = from.string() + ".old";
  if (std::rename(to.c_str(), aside.c_str()) != 0) return errno;
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    const int error = errno;
    std::rename(aside.c_str(), to.c_str());
    return error;
  }
  return std::rename(aside.c_str(), from.c_str()) == 0 ? 0 : errno;
}

Status SyncFolder(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return SystemError(path, errno);
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  if (error != 0 && error != EINVAL) return SystemError(path, error);
  return {};
}

}  // namespace

Result<StagedFolder> StagedFolder::Create(const fs::path& target, bool replace) {
  MDSA_ASSIGN(const fs::path path, Normal(target));
  std::error_code error;
  if (!replace && fs::exists(fs::symlink_status(path, error))) {
    return AlreadyThere(target);
  }
  const fs::path parent = path.parent_path();
  if (!fs::is_directory(parent, error)) {
    return Err(ErrorCode::kNotFound, "{}: there is no such folder to write into", parent.string());
  }
  MDSA_ASSIGN(fs::path staging, MakeSibling(path));
  return StagedFolder(path, std::move(staging), replace);
}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

Status StagedFolder::Publish() {
  MDSA_TRY(SyncFolder(path_));
  std::error_code ignored;
  const bool exists = fs::exists(fs::symlink_status(target_, ignored));
  if (exists && !replace_) return AlreadyThere(target_);
  const int error = exists ? Exchange(path_, target_) : RenameNew(path_, target_);
  if (error == EEXIST) return AlreadyThere(target_);
  if (error != 0) return SystemError(target_, error);
  // After an exchange the destructor removes what was there before.
  if (!exists) path_.clear();
  return SyncFolder(target_.parent_path());
}

}  // namespace mdsa
