// mdsa quantize: a quantized copy of a checkpoint.
#include "mdsa/quantize.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/error.h"
#include "command_line.h"
#include "exit_code.h"
#include "interrupt.h"
#include "model_options.h"
#include "options.h"
#include "progress_bar.h"
#include "text_format.h"

namespace mdsa::cli {
namespace {

struct QuantizeArguments {
  ModelOptions load;
  std::string out;
  bool force = false;
  bool json = false;
};

std::string Hint(const Error& error, const QuantizeArguments& arguments) {
  if (error.code() == ErrorCode::kAlreadyExists) return "--force replaces it";
  return ModelHint(error, arguments.load);
}

std::string Json(const QuantizeArguments& arguments, const QuantizeReport& report) {
  return DumpJson({{"model", arguments.load.model},
                   {"out", arguments.out},
                   {"quantization", arguments.load.quantization},
                   {"source_bytes", report.source_bytes},
                   {"file_bytes", report.file_bytes},
                   {"quantized_tensors", report.quantized_tensors},
                   {"kept_tensors", report.kept_tensors}});
}

std::string Text(const QuantizeArguments& arguments, const QuantizeReport& report) {
  return fmt::format("{}: {} from {}; {} tensors quantized to {}, {} kept\n",
                     OneLine(arguments.out), HumanBytes(report.file_bytes),
                     HumanBytes(report.source_bytes), report.quantized_tensors,
                     arguments.load.quantization, report.kept_tensors);
}

CommandResult Quantize(const QuantizeArguments& arguments, Console& console) {
  Interrupt interrupt;
  ProgressBar bar("Quantizing", console.stderr_style(),
                  [&console](std::string_view text) { console.Diagnose(text); });
  QuantizeOptions options;
  options.quantization = arguments.load.Config().quantization;
  options.overwrite = arguments.force;
  if (arguments.load.cache_dir) options.cache_dir = *arguments.load.cache_dir;
  options.stop = interrupt.token();
  options.on_progress = [&bar](const LoadProgress& progress) {
    bar.Update(progress.bytes_done, progress.bytes_total);
  };
  auto report = QuantizeCheckpoint(arguments.load.model, arguments.out, options);
  bar.Clear();
  if (!report) {
    std::string hint = Hint(report.error(), arguments);
    return std::unexpected(Failure(std::move(report).error(), std::move(hint)));
  }
  console.Write(arguments.json ? Json(arguments, *report) : Text(arguments, *report));
  return kExitOk;
}

}  // namespace

void AddQuantizeCommand(CLI::App& app, Command& command) {
  CLI::App* quantize =
      app.add_subcommand("quantize", "Write a quantized copy that transformers loads too");
  const auto arguments = std::make_shared<QuantizeArguments>();
  AddModelArgument(*quantize, arguments->load);
  AsWritten(quantize->add_option("OUT", arguments->out, "Folder to create"))->required();
  AddQuantizationOption(*quantize, arguments->load.quantization)
      ->description("int4 (NF4, double quantization) or int8 (LLM.int8())")
      ->required();
  quantize->add_flag("--force", arguments->force, "Replace OUT if it is a checkpoint");
  AddJsonFlag(*quantize, arguments->json);
  quantize->footer(
      "Writes a Hugging Face folder in bitsandbytes serialization. OUT appears when it is\n"
      "complete; after an error or Ctrl-C there is nothing of it.\n"
      "\nExamples:\n"
      "  mdsa quantize all-MiniLM-L6-v2 MiniLM-int8 --quantization int8\n"
      "  mdsa quantize all-MiniLM-L6-v2 MiniLM-int4 -q int4 --json\n");
  quantize->final_callback([arguments, &command] {
    command = [arguments](Console& console) { return Quantize(*arguments, console); };
  });
}

}  // namespace mdsa::cli
