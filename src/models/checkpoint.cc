#include "models/checkpoint.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "formats/gguf_config.h"
#include "formats/gguf_source.h"
#include "formats/printable.h"
#include "formats/safetensors_index.h"
#include "formats/safetensors_source.h"
#include "io/mapped_file.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfigBytes = 16'000'000;
constexpr std::size_t kMaxIndexBytes = 100'000'000;

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// The content, or "" if there is no such file; every other failure is passed on.
Result<std::string> ReadOptional(const fs::path& path) {
  auto text = ReadFile(path, kMaxConfigBytes);
  if (!text && text.error().code() == ErrorCode::kNotFound) return std::string();
  return text;
}

std::unexpected<Error> InFile(const fs::path& file, Error error) {
  return std::unexpected(std::move(error).AddContext(file.string()));
}

// Names of the regular files of a folder, sorted.
Result<std::vector<std::string>> ListFiles(const fs::path& folder) {
  std::error_code error;
  std::vector<std::string> names;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code not_a_file;
    if (entry->is_regular_file(not_a_file)) names.push_back(entry->path().filename().string());
  }
  if (error) {
    return Err(ErrorCode::kIo, "cannot list '{}': {}", folder.string(), error.message());
  }
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> WithSuffix(const std::vector<std::string>& names,
                                    std::string_view suffix) {
  std::vector<std::string> chosen;
  std::ranges::copy_if(names, std::back_inserter(chosen),
                       [&](const std::string& name) { return name.ends_with(suffix); });
  return chosen;
}

// The folder has none of the weight files that are read: say what it has instead.
std::unexpected<Error> NoWeights(const fs::path& folder, const std::vector<std::string>& names) {
  for (std::string_view suffix : {".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx"}) {
    for (const std::string& name : WithSuffix(names, suffix)) {
      const bool weights = name.starts_with("pytorch_model") || name.starts_with("model") ||
                           name.starts_with("tf_model") || name.starts_with("flax_model") ||
                           name.starts_with("consolidated");
      if (!weights) continue;
      return Err(ErrorCode::kUnsupported,
                 "'{}' has its weights in {}, which this version cannot read; convert them to "
                 "safetensors (load the model with transformers and call save_pretrained)",
                 folder.string(), Printable(name));
    }
  }
  const std::vector<std::string> others = WithSuffix(names, ".safetensors");
  if (!others.empty()) {
    return Err(ErrorCode::kNotFound,
               "'{}' has neither model.safetensors nor model.safetensors.index.json, only {}",
               folder.string(), Printable(others.front()));
  }
  return Err(ErrorCode::kNotFound,
             "'{}' has no weights: looked for model.safetensors, model.safetensors.index.json and "
             "*.gguf",
             folder.string());
}

}  // namespace

Result<Checkpoint> Checkpoint::Open(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    return Err(ErrorCode::kNotFound, "'{}' does not exist", path.string());
  }
  if (status.type() == fs::file_type::none || error) {
    return Err(ErrorCode::kIo, "cannot stat '{}': {}", path.string(), error.message());
  }
  Checkpoint checkpoint(path);
  if (fs::is_directory(status)) {
    MDSA_TRY(checkpoint.OpenFolder());
  } else if (path.extension() == ".gguf") {
    MDSA_TRY(checkpoint.OpenGguf(path));
  } else {
    return Err(ErrorCode::kUnsupported,
               "'{}' is neither a folder nor a .gguf file; name the folder that holds config.json",
               path.string());
  }
  for (const TensorInfo& tensor : checkpoint.tensors_->tensors()) {
    checkpoint.source_bytes_ += tensor.bytes.size();
  }
  return checkpoint;
}

Status Checkpoint::OpenFolder() {
  MDSA_ASSIGN(const std::vector<std::string> names, ListFiles(path_));
  if (Exists(path_ / "model.safetensors") || Exists(path_ / "model.safetensors.index.json")) {
    return OpenSafetensors();
  }
  const std::vector<std::string> ggufs = WithSuffix(names, ".gguf");
  if (ggufs.size() == 1) return OpenGguf(path_ / ggufs.front());
  if (ggufs.size() > 1) {
    return Err(ErrorCode::kInvalidArgument, "'{}' has {} .gguf files; name one, e.g. '{}'",
               path_.string(), ggufs.size(), (path_ / ggufs.front()).string());
  }
  return NoWeights(path_, names);
}

Status Checkpoint::OpenGguf(const fs::path& file) {
  MDSA_ASSIGN(auto map, MappedFile::Open(file));
  MDSA_ASSIGN(gguf_, GgufSource::FromFile(std::move(map)));
  tensors_ = gguf_;
  config_ = gguf_->config();
  auto pooling = PoolingConfigFromGguf(gguf_->gguf());
  if (!pooling) return InFile(file, std::move(pooling).error());
  pooling_ = *pooling;
  return {};
}

Status Checkpoint::OpenSafetensors() {
  MDSA_TRY(ReadConfig());  // first: an unsupported family is said before anything is mapped
  MDSA_TRY(ReadPooling());
  const fs::path single = path_ / "model.safetensors";
  if (!Exists(single)) return OpenShards(path_ / "model.safetensors.index.json");
  MDSA_ASSIGN(auto map, MappedFile::Open(single));
  MDSA_ASSIGN(tensors_, SafetensorsSource::FromFile(std::move(map)));
  return {};
}

Status Checkpoint::OpenShards(const fs::path& index_file) {
  MDSA_ASSIGN(const std::string json, ReadFile(index_file, kMaxIndexBytes));
  auto index = ParseSafetensorsIndex(json);
  if (!index) return InFile(index_file, std::move(index).error());
  std::vector<std::shared_ptr<const MappedFile>> shards;
  for (const std::string& name : index->shards) {
    auto map = MappedFile::Open(path_ / name);
    if (!map) return InFile(index_file, std::move(map).error().AddContext("shard " + name));
    shards.push_back(*std::move(map));
  }
  auto source = SafetensorsSource::FromShards(*index, std::move(shards));
  if (!source) return InFile(index_file, std::move(source).error());
  tensors_ = *std::move(source);
  return {};
}

Status Checkpoint::ReadConfig() {
  const fs::path file = path_ / "config.json";
  MDSA_ASSIGN(const std::string json, ReadFile(file, kMaxConfigBytes));
  MDSA_ASSIGN(const std::string generation, ReadOptional(path_ / "generation_config.json"));
  auto config = ParseHfConfig(json, generation);
  if (!config) return InFile(file, std::move(config).error());
  config_ = *std::move(config);
  return {};
}

Status Checkpoint::ReadPooling() {
  const fs::path modules_file = path_ / "modules.json";
  MDSA_ASSIGN(const std::string modules, ReadOptional(modules_file));
  if (modules.empty()) return {};
  const auto folder = PoolingModulePath(modules);
  if (!folder) return InFile(modules_file, folder.error());
  MDSA_ASSIGN(const std::string pooling,
              ReadFile(path_ / *folder / "config.json", kMaxConfigBytes));
  MDSA_ASSIGN(const std::string lengths, ReadOptional(path_ / "sentence_bert_config.json"));
  auto config = ParsePoolingConfig(modules, pooling, lengths);
  if (!config) return InFile(path_, std::move(config).error());
  pooling_ = *config;
  return {};
}

}  // namespace mdsa
