#include "mdsa/config_file.h"

#include <algorithm>
#include <cstddef>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "formats/toml.h"
#include "io/mapped_file.h"
#include "models/cache_dir.h"
#include "models/config_schema.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxBytes = std::size_t{1} << 20;

std::unexpected<Error> Report(std::string_view name, const TomlProblem& problem) {
  return Err(ErrorCode::kInvalidArgument, "{}:{}:{}: {}", name, problem.position.line,
             problem.position.column, problem.message);
}

// What a shell would make of a leading "~"; else below `folder` if `is_relative`.
fs::path Resolved(const fs::path& folder, std::string_view written, bool is_relative) {
  if (written.starts_with('~')) return ExpandHome(written);
  if (!is_relative) return written;
  while (written.starts_with("./")) {
    written.remove_prefix(std::min(written.find_first_not_of('/', 2), written.size()));
  }
  return written.empty() || written == "." ? folder : folder / written;
}

bool IsRelativeSource(std::string_view source) {
  return source == "." || source == ".." || source.starts_with("./") || source.starts_with("../");
}

Error ReadError(Error error) {
  switch (error.code()) {
    case ErrorCode::kNotFound:
    case ErrorCode::kIo:
      return error;
    case ErrorCode::kResourceExhausted:  // too large, as Parse would find
      return Error(ErrorCode::kInvalidArgument, error.ToString());
    default:  // no regular file
      return Error(ErrorCode::kIo, error.ToString());
  }
}

}  // namespace

Result<ConfigFile> ConfigFile::Parse(std::string_view text, std::string_view name) {
  if (text.size() > kMaxBytes) {
    return Err(ErrorCode::kInvalidArgument, "{}: has {} bytes; at most {} are read", name,
               text.size(), kMaxBytes);
  }
  const auto table = ParseToml(text);
  if (!table) return Report(name, table.error());
  auto file = ReadConfig(*table);
  if (!file) return Report(name, file.error());
  return *std::move(file);
}

Result<ConfigFile> ConfigFile::Read(const fs::path& path) {
  auto text = ReadFile(path, kMaxBytes);
  if (!text) return std::unexpected(ReadError(std::move(text).error()));
  MDSA_ASSIGN(ConfigFile file, Parse(*text, path.string()));
  // Absolute, so that "./org/name" can neither mean another folder later nor be taken for a Hub id.
  std::error_code error;
  const fs::path folder = fs::absolute(path, error).parent_path();
  if (error) {
    return Err(ErrorCode::kIo, "the folder of '{}' cannot be told: {}", path.string(),
               error.message());
  }
  if (file.cache_dir) {
    file.cache_dir = Resolved(folder, file.cache_dir->string(), file.cache_dir->is_relative());
  }
  for (DeclaredModel& model : file.models) {
    std::string& source = model.config.model_name;
    source = Resolved(folder, source, IsRelativeSource(source)).string();
  }
  return file;
}

}  // namespace mdsa
