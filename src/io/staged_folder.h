// A folder that appears complete or not at all.
#pragma once

#include <filesystem>
#include <utility>

#include "mdsa/result.h"

namespace mdsa {

// Files are written into path(), a hidden folder beside the target; Publish renames it. What was
// not published is removed by the destructor. Move-only. Not thread-safe.
class StagedFolder {
 public:
  // kInvalidArgument for a path without a name for the folder ("", "/", "a/.."); kAlreadyExists
  // when the target exists and `replace` is false; kNotFound when the folder that is to hold it
  // does not; kIo.
  static Result<StagedFolder> Create(const std::filesystem::path& target, bool replace);

  StagedFolder(StagedFolder&& other) noexcept
      : target_(std::move(other.target_)),
        path_(std::exchange(other.path_, {})),
        replace_(other.replace_) {}
  StagedFolder& operator=(StagedFolder&&) = delete;
  ~StagedFolder();

  const std::filesystem::path& path() const { return path_; }
  // Puts the folder in the target's place. What is replaced stays there until this moment, and
  // stays for good if this fails, but for two errors that say so: the folder is in its place and
  // could not be made durable, or, on a file system that cannot exchange two names, what was there
  // could not be put back and has another name.
  Status Publish();

 private:
  StagedFolder(std::filesystem::path target, std::filesystem::path path, bool replace)
      : target_(std::move(target)), path_(std::move(path)), replace_(replace) {}

  Status Exchange();

  std::filesystem::path target_;
  // What the destructor removes: empty once published, what was replaced after an exchange.
  std::filesystem::path path_;
  bool replace_;
};

}  // namespace mdsa
