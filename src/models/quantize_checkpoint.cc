#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/mapped_file.h"
#include "io/output_file.h"
#include "io/staged_folder.h"
#include "kernels/dispatch.h"
#include "mdsa/quantize.h"
#include "models/checkpoint.h"
#include "models/checkpoint_quantizer.h"
#include "models/json_text.h"
#include "models/model_path.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFileBytes = 200'000'000;

// What belongs to a checkpoint beside config.json and the weights.
constexpr std::array kCopiedFiles = {"generation_config.json",
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

Status WriteFile(const fs::path& path, std::string_view text) {
  MDSA_ASSIGN(OutputFile file, OutputFile::Create(path, text.size()));
  MDSA_TRY(file.WriteAt(0, std::as_bytes(std::span(text))));
  return file.Close();
}

// Copies `name` if the source has it.
Status CopyFile(const fs::path& source, const fs::path& out, const fs::path& name) {
  auto text = ReadFile(source / name, kMaxFileBytes);
  if (!text && text.error().code() == ErrorCode::kNotFound) return {};
  if (!text) return std::unexpected(std::move(text).error());
  std::error_code error;
  fs::create_directories((out / name).parent_path(), error);
  if (error) return Err(ErrorCode::kIo, "{}: {}", (out / name).string(), error.message());
  return WriteFile(out / name, *text);
}

Status CopyFiles(const fs::path& source, const fs::path& out) {
  for (const char* name : kCopiedFiles) MDSA_TRY(CopyFile(source, out, name));
  auto modules = ReadFile(source / "modules.json", kMaxFileBytes);
  if (!modules) return {};
  MDSA_ASSIGN(const std::string pooling, PoolingModulePath(*modules));
  return CopyFile(source, out, fs::path(pooling) / "config.json");
}

// A checkpoint whose config.json is an object without quantization_config.
Result<OrderedJson> PlainConfig(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  MDSA_ASSIGN(const std::string text, ReadFile(file, kMaxFileBytes));
  auto config = ParseJsonText(text);
  if (!config) return std::unexpected(std::move(config).error().AddContext(file.string()));
  if (config->contains("quantization_config")) {
    return Err(ErrorCode::kUnsupported, "{}: this checkpoint is quantized already", file.string());
  }
  return config;
}

std::string QuantizedConfig(OrderedJson config, const QuantizeOptions& options, DType dtype) {
  if (!config.contains("dtype") && !config.contains("torch_dtype")) {
    config["dtype"] = TorchName(dtype);
  }
  config["quantization_config"] = BitsAndBytesConfig(options.quantization);
  return config.dump(2) + "\n";
}

Result<Checkpoint> OpenSource(const std::string& model_name, const QuantizeOptions& options) {
  std::vector<fs::path> folders = {ModelLoader(options.cache_dir).cache_dir()};
  for (fs::path& folder : HubCacheDirs()) folders.push_back(std::move(folder));
  MDSA_ASSIGN(const fs::path path, ResolveModelPath(model_name, folders));
  MDSA_ASSIGN(Checkpoint checkpoint, Checkpoint::Open(path));
  if (checkpoint.format() == "gguf") {
    return Err(ErrorCode::kUnsupported,
               "'{}' is a GGUF file, which has no config.json and no tokenizer files to make a "
               "Hugging Face folder of; convert it with transformers first",
               path.string());
  }
  return checkpoint;
}

// --force on the wrong folder must not cost anybody's files.
Status CheckReplaceable(const fs::path& out, const fs::path& source) {
  std::error_code ignored;
  if (fs::equivalent(out, source, ignored)) {
    return Err(ErrorCode::kInvalidArgument, "'{}' is the model itself", out.string());
  }
  if (!fs::exists(out, ignored)) return {};
  const bool checkpoint = fs::is_regular_file(out / "config.json", ignored);
  if (fs::is_directory(out, ignored) && (checkpoint || fs::is_empty(out, ignored))) return {};
  return Err(ErrorCode::kFailedPrecondition,
             "'{}' is no checkpoint folder and will not be replaced", out.string());
}

Result<QuantizeReport> WriteCheckpoint(const Checkpoint& checkpoint, OrderedJson config,
                                       const fs::path& folder, const QuantizeOptions& options) {
  CheckpointQuantizer quantizer(checkpoint, options);
  MDSA_ASSIGN(const SafetensorsLayout layout, quantizer.Plan());
  MDSA_ASSIGN(OutputFile file,
              OutputFile::Create(folder / "model.safetensors", layout.file_bytes()));
  MDSA_TRY(file.WriteAt(0, std::as_bytes(std::span(layout.head()))));
  MDSA_TRY(quantizer.Write(layout, file));
  MDSA_TRY(file.Close());
  MDSA_TRY(WriteFile(folder / "config.json",
                     QuantizedConfig(std::move(config), options, quantizer.dtype())));
  MDSA_TRY(CopyFiles(checkpoint.path(), folder));
  return quantizer.report();
}

}  // namespace

Result<QuantizeReport> QuantizeCheckpoint(const std::string& model_name, const fs::path& out,
                                          const QuantizeOptions& options) {
  if (options.quantization != QuantizationType::kInt4 &&
      options.quantization != QuantizationType::kInt8) {
    return Err(ErrorCode::kInvalidArgument,
               "a checkpoint can be quantized to int4 or int8, not to {}",
               QuantizationTypeName(options.quantization));
  }
  MDSA_TRY(kernels::CheckEnvironmentTarget());
  MDSA_ASSIGN(const Checkpoint checkpoint, OpenSource(model_name, options));
  MDSA_ASSIGN(OrderedJson config, PlainConfig(checkpoint.path()));
  if (options.overwrite) MDSA_TRY(CheckReplaceable(out, checkpoint.path()));
  MDSA_ASSIGN(StagedFolder folder, StagedFolder::Create(out, options.overwrite));
  MDSA_ASSIGN(const QuantizeReport report,
              WriteCheckpoint(checkpoint, std::move(config), folder.path(), options));
  if (options.stop.stop_requested()) return Err(ErrorCode::kCancelled, "cancelled");
  MDSA_TRY(folder.Publish());
  return report;
}

}  // namespace mdsa
