#include "models/model_path.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>

#include "base/error.h"
#include "formats/printable.h"
#include "io/mapped_file.h"
#include "models/cache_dir.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;

bool IsWordCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool IsIdPart(std::string_view part) {
  constexpr std::size_t kMaxPart = 96;
  return !part.empty() && part.size() <= kMaxPart && IsWordCharacter(part.front()) &&
         IsWordCharacter(part.back()) && std::ranges::all_of(part, [](char c) {
           return IsWordCharacter(c) || c == '.' || c == '-';
         });
}

// As the Hub checks ids: at most one '/', no "--" or "..", not ending in ".git".
bool IsHubId(std::string_view id) {
  if (id.find("--") != std::string_view::npos || id.find("..") != std::string_view::npos ||
      id.ends_with(".git")) {
    return false;
  }
  const std::size_t slash = id.find('/');
  if (slash == std::string_view::npos) return IsIdPart(id);
  return IsIdPart(id.substr(0, slash)) && IsIdPart(id.substr(slash + 1));
}

std::string CacheFolderName(std::string_view id) {
  std::string name = "models--";
  for (char c : id) name += c == '/' ? std::string("--") : std::string(1, c);
  return name;
}

// The snapshot that refs/main names; nullopt if the model is not in this cache.
Result<std::optional<fs::path>> FindSnapshot(const fs::path& repository) {
  constexpr std::size_t kMaxRefBytes = 1000;
  auto ref = ReadFile(repository / "refs" / "main", kMaxRefBytes);
  if (!ref) {
    if (ref.error().code() == ErrorCode::kNotFound) return std::nullopt;
    return std::unexpected(std::move(ref).error());
  }
  while (!ref->empty() && (ref->back() == '\n' || ref->back() == '\r')) ref->pop_back();
  // The name of a folder, whatever the file says.
  if (ref->empty() || !std::ranges::all_of(*ref, IsWordCharacter)) {
    return Err(ErrorCode::kInvalidFormat, "'{}' names no commit: {}",
               (repository / "refs" / "main").string(), Printable(*ref));
  }
  fs::path snapshot = repository / "snapshots" / *ref;
  std::error_code ignored;
  if (!fs::is_directory(snapshot, ignored)) return std::nullopt;
  return snapshot;
}

std::optional<fs::path> Variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return fs::path(value);
}

}  // namespace

std::vector<fs::path> HubCacheDirs() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (auto cache = Variable(name)) return {*cache};
  }
  if (auto home = Variable("HF_HOME")) return {*home / "hub"};
  if (auto cache = Variable("XDG_CACHE_HOME")) return {*cache / "huggingface" / "hub"};
  if (auto home = Variable("HOME")) return {*home / ".cache" / "huggingface" / "hub"};
  return {};
}

std::vector<fs::path> CacheSearchPath(const std::optional<std::string>& first,
                                      const fs::path& loader_dir) {
  std::vector<fs::path> dirs;
  const auto add = [&](const fs::path& dir) {
    const bool known = std::ranges::any_of(dirs, [&](const fs::path& other) {
      return other.lexically_normal() / "" == dir.lexically_normal() / "";
    });
    if (!known) dirs.push_back(dir);
  };
  if (first) add(ExpandHome(*first));
  add(loader_dir);
  std::ranges::for_each(HubCacheDirs(), add);
  return dirs;
}

Result<fs::path> ResolveModelPath(std::string_view model, std::span<const fs::path> cache_dirs) {
  if (model.empty()) return Err(ErrorCode::kInvalidArgument, "the model's name is empty");
  std::error_code ignored;
  const bool has_nul = model.find('\0') != std::string_view::npos;
  if (!has_nul && fs::exists(fs::path(model), ignored)) return fs::path(model);
  if (!IsHubId(model)) {
    return Err(ErrorCode::kNotFound, "{} does not exist and is not a Hub id (organization/name)",
               Printable(model));
  }
  std::string places;
  for (const fs::path& cache : cache_dirs) {
    const fs::path repository = cache / CacheFolderName(model);
    MDSA_ASSIGN(std::optional<fs::path> snapshot, FindSnapshot(repository));
    if (snapshot) return *std::move(snapshot);
    places += (places.empty() ? "" : ", ") + repository.string();
  }
  return Err(ErrorCode::kNotFound,
             "'{}' is not on this machine: there is no such file or folder, and no snapshot in {}. "
             "This version does not download; fetch the model first (hf download {})",
             model, places.empty() ? "any cache" : places, model);
}

}  // namespace mdsa
