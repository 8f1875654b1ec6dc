#include "io/staged_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include "io/system_error.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> AlreadyThere(const fs::path& target) {
  return Err(ErrorCode::kAlreadyExists, "{}: exists already", target.string());
}

// The canonical path of the folder that is to hold `target`, with the name of `target`: dots and
// links of the parent are the file system's to follow.
Result<fs::path> Resolve(const fs::path& target) {
  std::string text = target.string();
  while (text.ends_with('/')) text.pop_back();
  const fs::path path(text);
  const fs::path name = path.filename();
  if (name.empty() || name == "." || name == "..") {
    return Err(ErrorCode::kInvalidArgument, "'{}' names no folder to create", target.string());
  }
  const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code error;
  const fs::path canonical = fs::canonical(parent, error);
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory ||
      (!error && !fs::is_directory(canonical, error))) {
    return Err(ErrorCode::kNotFound, "{}: there is no such folder to write into", parent.string());
  }
  if (error) return SystemError(parent, error.value());
  return canonical / name;
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
  MDSA_ASSIGN(const fs::path path, Resolve(target));
  std::error_code error;
  if (!replace && fs::exists(fs::symlink_status(path, error))) {
    return AlreadyThere(target);
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
  if (exists) {
    MDSA_TRY(Exchange());
  } else {
    const int error = RenameNew(path_, target_);
    if (error == EEXIST) return AlreadyThere(target_);
    if (error != 0) return SystemError(target_, error);
    path_.clear();
  }
  auto synced = SyncFolder(target_.parent_path());
  if (!synced) {
    return std::unexpected(std::move(synced).error().AddContext(
        target_.string() + " is in its place, but may be lost if the power fails"));
  }
  return {};
}

// Afterwards path_ is what was there before, which the destructor removes.
Status StagedFolder::Exchange() {
  if (renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
    return {};
  }
  if (!KnowsNoFlags(errno)) return SystemError(target_, errno);
  const fs::path aside = path_.string() + ".old";
  if (std::rename(target_.c_str(), aside.c_str()) != 0) return SystemError(target_, errno);
  if (std::rename(path_.c_str(), target_.c_str()) != 0) {
    auto failed = SystemError(target_, errno);
    if (std::rename(aside.c_str(), target_.c_str()) != 0) {
      failed.error().AddContext("what was there is now " + aside.string());
    }
    return failed;
  }
  path_ = aside;
  return {};
}

}  // namespace mdsa
