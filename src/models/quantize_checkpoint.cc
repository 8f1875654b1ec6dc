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
#include "models/quantized_folder.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfigBytes = 16'000'000;

Status WriteFile(const fs::path& path, std::string_view text) {
  MDSA_ASSIGN(OutputFile file, OutputFile::Create(path, text.size()));
  MDSA_TRY(file.WriteAt(0, std::as_bytes(std::span(text))));
  return file.Close();
}

// A checkpoint whose config.json is an object without quantization_config.
Result<Json> PlainConfig(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  MDSA_ASSIGN(const std::string text, ReadFile(file, kMaxConfigBytes));
  auto config = ParseJsonText(text);
  if (!config) return std::unexpected(std::move(config).error().AddContext(file.string()));
  if (config->contains("quantization_config")) {
    return Err(ErrorCode::kUnsupported, "{}: this checkpoint is quantized already", file.string());
  }
  return config;
}

std::string QuantizedConfig(Json config, const QuantizeOptions& options, DType dtype) {
  if (!config.contains("dtype") && !config.contains("torch_dtype")) {
    config["dtype"] = TorchName(dtype);
  }
  config["quantization_config"] = BitsAndBytesConfig(options.quantization);
  return config.dump(2) + "\n";
}

Result<Checkpoint> OpenSource(const std::string& model_name, const QuantizeOptions& options) {
  const ModelLoader loader(options.cache_dir);
  MDSA_ASSIGN(const fs::path path,
              ResolveModelPath(model_name, CacheSearchPath(std::nullopt, loader.cache_dir())));
  MDSA_ASSIGN(Checkpoint checkpoint, Checkpoint::Open(path));
  if (checkpoint.format() == "gguf") {
    return Err(ErrorCode::kUnsupported,
               "'{}' is a GGUF file, which has no config.json and no tokenizer files to make a "
               "Hugging Face folder of; convert it with transformers first",
               path.string());
  }
  return checkpoint;
}

Result<QuantizeReport> WriteCheckpoint(const Checkpoint& checkpoint, Json config,
                                       const fs::path& folder, const QuantizeOptions& options) {
  CheckpointQuantizer quantizer(checkpoint, options);
  auto planned = quantizer.Plan();
  if (!planned) {
    return std::unexpected(std::move(planned).error().AddContext(checkpoint.path().string()));
  }
  const SafetensorsLayout& layout = *planned;
  MDSA_ASSIGN(OutputFile file,
              OutputFile::Create(folder / "model.safetensors", layout.file_bytes()));
  MDSA_TRY(file.WriteAt(0, std::as_bytes(std::span(layout.head()))));
  if (auto written = quantizer.Write(layout, file); !written) {
    return std::unexpected(std::move(written).error().AddContext(checkpoint.path().string()));
  }
  MDSA_TRY(file.Close());
  MDSA_TRY(WriteFile(folder / "config.json",
                     QuantizedConfig(std::move(config), options, quantizer.dtype())));
  MDSA_TRY(CopySideFiles(checkpoint.path(), folder));
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
  MDSA_ASSIGN(Json config, PlainConfig(checkpoint.path()));
  if (options.overwrite) MDSA_TRY(CheckReplaceable(out, checkpoint.path()));
  MDSA_ASSIGN(StagedFolder folder, StagedFolder::Create(out, options.overwrite));
  MDSA_ASSIGN(const QuantizeReport report,
              WriteCheckpoint(checkpoint, std::move(config), folder.path(), options));
  if (options.stop.stop_requested()) return Err(ErrorCode::kCancelled, "cancelled");
  // Again, for the work may have taken long enough for somebody to put a file there.
  if (options.overwrite) MDSA_TRY(CheckReplaceable(out, checkpoint.path()));
  MDSA_TRY(folder.Publish());
  return report;
}

}  // namespace mdsa
