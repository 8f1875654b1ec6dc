#include "models/quantized_folder.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "formats/pooling_config.h"
#include "formats/printable.h"
#include "io/mapped_file.h"
#include "io/output_file.h"
#include "models/json_text.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFileBytes = 200'000'000;
constexpr std::size_t kMaxConfigBytes = 16'000'000;

constexpr std::array<std::string_view, 16> kCopiedFiles = {"generation_config.json",
                                                           "tokenizer.json",
                                                           "tokenizer_config.json",
                                                           "special_tokens_map.json",
                                                           "added_tokens.json",
                                                           "vocab.txt",
                                                           "vocab.json",
                                                           "merges.txt",
                                                           "tokenizer.model",
                                                           "spiece.model",
                                                           "chat_template.jinja",
                                                           "chat_template.json",
                                                           "modules.json",
                                                           "sentence_bert_config.json",
                                                           "config_sentence_transformers.json",
                                                           "LICENSE"};

// Copies `name` if the source has it.
Status CopyFile(const fs::path& source, const fs::path& out, const fs::path& name) {
  auto text = ReadFile(source / name, kMaxFileBytes);
  if (!text && text.error().code() == ErrorCode::kNotFound) return {};
  if (!text) return std::unexpected(std::move(text).error());
  std::error_code error;
  fs::create_directories((out / name).parent_path(), error);
  if (error) return Err(ErrorCode::kIo, "{}: {}", (out / name).string(), error.message());
  MDSA_ASSIGN(OutputFile file, OutputFile::Create(out / name, text->size()));
  MDSA_TRY(file.WriteAt(0, std::as_bytes(std::span(*text))));
  return file.Close();
}

// Where a sentence-transformers folder says how it pools, relative to it; nullopt if it does not.
Result<std::optional<fs::path>> PoolingFile(const fs::path& folder) {
  auto modules = ReadFile(folder / "modules.json", kMaxFileBytes);
  if (!modules) return std::nullopt;
  MDSA_ASSIGN(const std::string pooling, PoolingModulePath(*modules));
  return (fs::path(pooling) / "config.json").lexically_normal();
}

std::unexpected<Error> NotReplaceable(const fs::path& out, std::string_view reason) {
  return Err(ErrorCode::kFailedPrecondition, "'{}' {}, so it will not be replaced", out.string(),
             reason);
}

bool IsWithin(const fs::path& inner, const fs::path& outer) {
  return std::ranges::mismatch(inner, outer).in2 == outer.end();
}

Status CheckApart(const fs::path& out, const fs::path& source) {
  std::error_code error;
  const fs::path real_source = fs::canonical(source, error);
  if (error) return Err(ErrorCode::kIo, "{}: {}", source.string(), error.message());
  const fs::path real_out = fs::canonical(out, error);
  if (error) return Err(ErrorCode::kIo, "{}: {}", out.string(), error.message());
  if (real_out == real_source) {
    return Err(ErrorCode::kInvalidArgument, "'{}' is the model itself", out.string());
  }
  if (IsWithin(real_source, real_out) || IsWithin(real_out, real_source)) {
    return Err(ErrorCode::kInvalidArgument,
               "'{}' and the model's folder '{}' lie within each other; it will not be replaced",
               out.string(), source.string());
  }
  return {};
}

// Names the first entry that quantize does not write. A link is none, wherever it leads.
Status CheckEntries(const fs::path& out) {
  const auto pooling = PoolingFile(out).value_or(std::nullopt);
  std::error_code error;
  fs::recursive_directory_iterator entry(out, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    const fs::path name = entry->path().lexically_relative(out);
    const bool file = fs::is_regular_file(entry->symlink_status(error));
    const bool folder = !error && fs::is_directory(entry->symlink_status(error));
    const bool known = name == "config.json" || name == "model.safetensors" ||
                       std::ranges::find(kCopiedFiles, name.native()) != kCopiedFiles.end() ||
                       name == pooling;
    const bool leads_to_pooling = folder && pooling && IsWithin(*pooling, name);
    if (error || (file && known) || leads_to_pooling) continue;
    return NotReplaceable(
        out, "holds " + Printable(name.native()) + ", which quantize did not put there");
  }
  if (error) return Err(ErrorCode::kIo, "{}: {}", out.string(), error.message());
  return {};
}

Status CheckIsQuantizedModel(const fs::path& out) {
  std::error_code ignored;
  if (!fs::is_regular_file(fs::symlink_status(out / "model.safetensors", ignored))) {
    return NotReplaceable(out, "holds no model.safetensors");
  }
  auto text = ReadFile(out / "config.json", kMaxConfigBytes);
  if (!text) return NotReplaceable(out, "holds no config.json that can be read");
  const auto config = ParseJsonText(*text);
  const bool made_by_quantize = config && config->is_object() && config->contains("model_type") &&
                                config->contains("quantization_config");
  if (!made_by_quantize) return NotReplaceable(out, "holds no quantized model");
  return {};
}

}  // namespace

Status CopySideFiles(const fs::path& source, const fs::path& out) {
  for (const std::string_view name : kCopiedFiles) MDSA_TRY(CopyFile(source, out, name));
  MDSA_ASSIGN(const std::optional<fs::path> pooling, PoolingFile(source));
  return pooling ? CopyFile(source, out, *pooling) : Status();
}

Status CheckReplaceable(const fs::path& out, const fs::path& source) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(out, error);
  if (status.type() == fs::file_type::not_found) return {};
  if (!fs::is_directory(status) && !fs::is_symlink(status))
    return NotReplaceable(out, "is no folder");
  MDSA_TRY(CheckApart(out, source));
  if (!fs::is_directory(status)) return NotReplaceable(out, "is a link");
  if (fs::is_empty(out, error)) return {};
  MDSA_TRY(CheckIsQuantizedModel(out));
  return CheckEntries(out);
}

}  // namespace mdsa
