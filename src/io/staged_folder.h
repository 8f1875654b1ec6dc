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
  // kAlreadyExists when the target exists and `replace` is false; kNotFound when the folder that is
  // to hold it does not; kIo.
  static Result<StagedFolder> Create(const std::filesystem::path& target, bool replace);

  StagedFolder(StagedFolder&& other) noexcept
      : target_(std::move(other.target_)),
        path_(std::exchange(other.path_, {})),
        replace_(other.replace_) {}
  StagedFolder& operator=(StagedFolder&&) = delete;
  ~StagedFolder();

  const std::filesystem::path& path() const { return path_; }
  // Puts the folder in the target's place. A folder that is replaced stays there until this moment,
  // and stays for good if this fails.
  Status Publish();

 private:
  StagedFolder(std::filesystem::path target, std::filesystem::path path, bool replace)
      : target_(std::move(target)), path_(std::move(path)), replace_(replace) {}

  std::filesystem::path target_;
  std::filesystem::path path_;  // empty once published
  bool replace_;
};

}  // namespace mdsa
