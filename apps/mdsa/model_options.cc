#include "model_options.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "options.h"
#include "progress_bar.h"

namespace mdsa::cli {
namespace {

// More than any context; the loader caps it.
constexpr std::int64_t kWholeContext = std::numeric_limits<std::int32_t>::max();

// What a user calls the model: the last part of a path or id.
std::string ShortName(const std::string& model) {
  std::filesystem::path path(model);
  if (!path.has_filename()) path = path.parent_path();
  return path.has_filename() ? path.filename().string() : model;
}

}  // namespace

ModelConfig ModelOptions::Config() const {
  ModelConfig config;
  config.model_name = model;
  // The option accepts only known names.
  config.quantization = ParseQuantizationType(quantization).value_or(QuantizationType::kNone);
  config.max_length = max_length > 0 ? max_length : kWholeContext;
  config.batch_size = batch_size;
  config.cache_dir = cache_dir;
  return config;
}

void AddModelArgument(CLI::App& command, ModelOptions& options) {
  AsWritten(command.add_option("MODEL", options.model,
                               "Directory, GGUF file, or Hub id in the local caches"))
      ->required();
  AsWritten(command.add_option("--cache-dir", options.cache_dir,
                               "Where Hub ids are looked for first\n"
                               "(then $MDSA_HOME/models or ~/.mdsa/models)"))
      ->option_text("DIR");
}

CLI::Option* AddQuantizationOption(CLI::App& command, std::string& quantization) {
  const auto known = [](std::string& name) {
    const auto parsed = ParseQuantizationType(name);
    return parsed ? std::string() : parsed.error().ToString();
  };
  return command.add_option("--quantization,-q", quantization)
      ->check(CLI::Validator(known, ""))
      ->option_text("TYPE");
}

void AddLoadOptions(CLI::App& command, ModelOptions& options) {
  AddQuantizationOption(command, options.quantization)
      ->description("none (default), int4, int8, fp16 or bfloat16");
  command.add_option("--max-length", options.max_length)
      ->description("Most tokens of prompt and answer together\n(default: the model's context)")
      ->check(Whole(1, kWholeContext))
      ->option_text("N");
  command.add_option("--threads", options.threads)
      ->description("Threads to work with\n(default: $MDSA_NUM_THREADS or all usable cores)")
      ->check(Whole(1, 1024))
      ->option_text("N");
}

std::string ModelHint(const Error& error, const ModelOptions& options) {
  std::error_code ignored;
  if (error.code() == ErrorCode::kNotFound && !std::filesystem::exists(options.model, ignored)) {
    return "MODEL is a directory, a GGUF file, or the id of a model that is already in " +
           ModelLoader().cache_dir().string() + " or the Hugging Face cache";
  }
  if (error.code() == ErrorCode::kResourceExhausted) {
    return "`mdsa estimate " + options.model + "` shows what each quantization needs";
  }
  return "";
}

std::expected<LoadedModel, Failure> LoadModel(const ModelOptions& options, const Console& console,
                                              std::stop_token stop) {
  const auto start = std::chrono::steady_clock::now();
  // What loads obeys an option; what computes is shared by all models and asks the environment.
  if (options.threads > 0) setenv("MDSA_NUM_THREADS", std::to_string(options.threads).c_str(), 1);
  ProgressBar bar("Loading " + ShortName(options.model), console.stderr_style(),
                  [&console](std::string_view text) { console.Diagnose(text); });
  LoadOptions load;
  load.threads = options.threads;
  load.stop = std::move(stop);
  load.on_progress = [&bar](const LoadProgress& progress) {
    bar.Update(progress.bytes_done, progress.bytes_total);
  };
  auto model = ModelLoader().Load(options.Config(), load);
  bar.Clear();
  if (!model) {
    std::string hint = ModelHint(model.error(), options);
    return std::unexpected(Failure(std::move(model).error(), std::move(hint)));
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return LoadedModel{*std::move(model), elapsed.count()};
}

}  // namespace mdsa::cli
