// A model on disk, opened: what it is, where its tensors are, how its text becomes tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "formats/architecture_config.h"
#include "formats/pooling_config.h"
#include "formats/tensor_source.h"
#include "mdsa/result.h"
#include "mdsa/tokenizer.h"
#include "tokenizers/tokenizer_size.h"

namespace mdsa {

class GgufSource;

// Reads headers and configuration only; no weight is touched. Copies share the maps. Thread-safe:
// immutable once opened.
class Checkpoint {
 public:
  // A Hugging Face folder (config.json with model.safetensors, with model.safetensors.index.json
  // and its shards, or one .gguf file, in this order) or a .gguf file. Errors name the file:
  // kNotFound for a missing path, config.json or shard, kUnsupported for weights in another form.
  static Result<Checkpoint> Open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }  // the folder or the .gguf file
  std::string_view format() const { return gguf_ != nullptr ? "gguf" : "safetensors"; }
  const std::shared_ptr<const TensorSource>& tensors() const { return tensors_; }
  const ArchitectureConfig& config() const { return config_; }
  // Of a sentence-transformers folder, or a GGUF file that names its pooling.
  const std::optional<PoolingConfig>& pooling() const { return pooling_; }
  // Bytes of all tensors as stored.
  std::uint64_t source_bytes() const { return source_bytes_; }

  // kNotFound, listing the files looked for, if there is no tokenizer.
  Result<std::shared_ptr<const Tokenizer>> LoadTokenizer() const;
  // What it will take, from the counts of its files: nothing if there is none, or if its files
  // cannot be read, which LoadTokenizer reports.
  TokenizerSize SizeOfTokenizer() const;

 private:
  explicit Checkpoint(std::filesystem::path path) : path_(std::move(path)) {}

  Status OpenFolder();
  Status OpenGguf(const std::filesystem::path& file);
  Status OpenSafetensors();
  Status OpenShards(const std::filesystem::path& index_file);
  Status ReadConfig();
  Status ReadPooling();

  std::filesystem::path path_;
  std::shared_ptr<const TensorSource> tensors_;
  std::shared_ptr<const GgufSource> gguf_;  // the same object as tensors_; null for other formats
  ArchitectureConfig config_;
  std::optional<PoolingConfig> pooling_;
  std::uint64_t source_bytes_ = 0;
};

}  // namespace mdsa
