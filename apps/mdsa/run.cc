// mdsa run: generates text.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "command_line.h"
#include "exit_code.h"
#include "interrupt.h"
#include "line_reader.h"
#include "model_options.h"
#include "options.h"
#include "text_format.h"

namespace mdsa::cli {
namespace {

struct RunOptions {
  ModelOptions load;
  std::optional<std::string> prompt;
  std::optional<std::string> system;
  GenerationOptions generation;
  bool raw = false;
  bool json = false;
  bool stats = false;
};

Result<std::string> PromptOf(const RunOptions& options, const Console& console) {
  std::string prompt;
  if (options.prompt && *options.prompt != "-") {
    prompt = *options.prompt;
  } else if (!options.prompt && console.stdin_is_terminal()) {
    return Err(ErrorCode::kInvalidArgument,
               "no prompt: give it as an argument, or on standard input");
  } else {
    MDSA_ASSIGN(prompt, ReadText(STDIN_FILENO));
  }
  if (prompt.empty()) return Err(ErrorCode::kInvalidArgument, "the prompt is empty");
  return prompt;
}

// Temperature decides between greedy and sampled, so the other knobs of sampling need it.
Status CheckSampling(const CLI::App& command, RunOptions& options) {
  options.generation.do_sample = options.generation.temperature > 0.0;
  if (options.generation.do_sample) return {};
  options.generation.temperature = 1.0;
  for (const char* name : {"--top-k", "--top-p", "--min-p", "--seed"}) {
    if (command.count(name) == 0) continue;
    return Err(ErrorCode::kInvalidArgument,
               "{} has no effect on greedy decoding; add --temperature above 0", name);
  }
  return {};
}

bool IsInstructModel(const Model& model) {
  return model.tokenizer() != nullptr && !model.tokenizer()->chat_template().empty();
}

Result<GenerationResult> Generate(const Model& model, const RunOptions& options,
                                  const std::string& prompt, const TextSink& sink,
                                  std::stop_token stop) {
  if (options.raw || !IsInstructModel(model)) {
    if (options.system) {
      return Err(ErrorCode::kInvalidArgument, "--system needs a chat template, and {}",
                 options.raw ? "--raw uses none" : "this model has none");
    }
    return model.GenerateText(prompt, options.generation, sink, true, std::move(stop));
  }
  std::vector<ChatMessage> messages;
  if (options.system) messages.push_back({"system", *options.system});
  messages.push_back({"user", prompt});
  return model.Chat(messages, options.generation, sink, std::move(stop));
}

double Rate(double tokens, double seconds) { return seconds > 0.0 ? tokens / seconds : 0.0; }

double PrefillRate(const GenerationResult& result) {
  return Rate(static_cast<double>(result.prompt_tokens), result.prefill_seconds);
}

// The first token comes out of the prefill.
double DecodeRate(const GenerationResult& result) {
  return Rate(static_cast<double>(result.ids.size()) - 1.0, result.decode_seconds);
}

double MemoryMb(const Model& model) { return static_cast<double>(model.memory_bytes()) / 1e6; }

std::string ResultJson(const GenerationResult& result, const LoadedModel& loaded,
                       const RunOptions& options) {
  return DumpJson({{"model", options.load.model},
                   {"quantization", loaded.model->description().quantization},
                   {"text", result.text},
                   {"finish_reason", FinishReasonName(result.finish_reason)},
                   {"prompt_tokens", result.prompt_tokens},
                   {"completion_tokens", result.ids.size()},
                   {"timings",
                    {{"load_seconds", loaded.seconds},
                     {"prefill_seconds", result.prefill_seconds},
                     {"decode_seconds", result.decode_seconds},
                     {"prefill_tokens_per_second", PrefillRate(result)},
                     {"decode_tokens_per_second", DecodeRate(result)}}},
                   {"memory_mb", MemoryMb(*loaded.model)}});
}

std::string StatsLine(const GenerationResult& result, const LoadedModel& loaded) {
  return fmt::format(
      "load {:.2f} s, prefill {} tokens in {:.2f} s ({:.1f} tok/s), decode {} tokens in {:.2f} s "
      "({:.1f} tok/s), memory {:.1f} MB, finish {}\n",
      loaded.seconds, result.prompt_tokens, result.prefill_seconds, PrefillRate(result),
      result.ids.size(), result.decode_seconds, DecodeRate(result), MemoryMb(*loaded.model),
      FinishReasonName(result.finish_reason));
}

std::string GenerationHint(const Error& error) {
  if (error.code() == ErrorCode::kUnsupported) return "--raw continues the prompt as it is";
  return "";
}

CommandResult Run(const RunOptions& options, Console& console) {
  MDSA_ASSIGN(const std::string prompt, PromptOf(options, console));
  Interrupt interrupt;
  MDSA_ASSIGN(const LoadedModel loaded, LoadModel(options.load, console, interrupt.token()));

  bool line_open = false;
  const TextSink stream = [&](std::string_view piece) {
    if (!piece.empty()) line_open = !piece.ends_with('\n');
    return console.Write(console.stdout_is_terminal() ? Printable(piece) : std::string(piece));
  };
  auto result = Generate(*loaded.model, options, prompt, options.json ? TextSink() : stream,
                         interrupt.token());
  if (line_open) console.Write("\n");
  if (!result) {
    std::string hint = GenerationHint(result.error());
    return std::unexpected(Failure(std::move(result).error(), std::move(hint)));
  }
  if (options.json) console.Write(ResultJson(*result, loaded, options));
  if (options.stats) console.Diagnose(StatsLine(*result, loaded));
  return interrupt.requested() ? kExitCancelled : kExitOk;
}

void AddSamplingOptions(CLI::App& command, GenerationOptions& generation) {
  constexpr const char* kGroup = "Generation";
  const auto add = [&](const char* name, auto& value, const char* text, CLI::Validator check,
                       const char* placeholder) {
    command.add_option(name, value, text)
        ->check(std::move(check))
        ->option_text(placeholder)
        ->group(kGroup);
  };
  add("--max-new-tokens,-n", generation.max_new_tokens, "Most tokens to generate (default: 256)",
      Whole(1), "N");
  add("--min-new-tokens", generation.min_new_tokens, "Do not end before (default: 0)", Whole(0),
      "N");
  add("--temperature,-t", generation.temperature, "0 (default): greedy; above: sampled",
      Real({.min = 0.0}), "T");
  add("--top-k", generation.top_k, "Sample from the K likeliest tokens; 0: off\n(default: 50)",
      Whole(0), "K");
  add("--top-p", generation.top_p, "Sample from the likeliest tokens that sum up to P",
      Real({.min = 0.0, .max = 1.0, .min_excluded = true}), "P");
  add("--min-p", generation.min_p, "Drop tokens below P times the likeliest",
      Real({.min = 0.0, .max = 1.0, .max_excluded = true}), "P");
  add("--repetition-penalty", generation.repetition_penalty, "Above 1: make repetition less likely",
      Real({.min = 0.0, .min_excluded = true}), "R");
  add("--seed", generation.seed, "Same seed, model and options: same text", Whole(0), "N");
  AsWritten(command.add_option("--stop", generation.stop,
                               "End before this text; may be given several times"))
      ->allow_extra_args(false)
      ->option_text("TEXT")
      ->group(kGroup);
}

}  // namespace

void AddRunCommand(CLI::App& app, Command& command) {
  CLI::App* run = app.add_subcommand("run", "Generate text, streamed as it comes");
  const auto options = std::make_shared<RunOptions>();
  options->generation.temperature = 0.0;
  AddModelArgument(*run, options->load);
  AsWritten(run->add_option("PROMPT", options->prompt, "Text; \"-\" or none: standard input"));
  run->add_flag("--raw", options->raw, "Continue the prompt as it is, without chat template");
  AsWritten(run->add_option("--system", options->system, "System message of the chat"))
      ->option_text("TEXT");
  AddLoadOptions(*run, options->load);
  AddJsonFlag(*run, options->json);
  run->add_flag("--stats", options->stats, "Print times and rates to standard error");
  AddSamplingOptions(*run, options->generation);
  run->footer(
      "Examples:\n"
      "  mdsa run SmolLM2-135M-Instruct.Q4_1.gguf \"Why is the sky blue?\" -n 48\n"
      "  mdsa run SmolLM2-135M-Instruct.Q4_1.gguf --raw -n 16 \"The capital of France is\"\n"
      "  mdsa run SmolLM2-135M-Instruct.Q4_1.gguf -q int8 -t 0.7 --seed 1 \"Write a haiku.\"\n"
      "  cat question.txt | mdsa run SmolLM2-135M-Instruct.Q4_1.gguf --json -n 32\n");
  run->final_callback([run, options, &command] {
    // The app is gone when the command runs.
    command = [sampling = CheckSampling(*run, *options), options](Console& console) {
      return sampling ? Run(*options, console) : std::unexpected(Failure(sampling.error()));
    };
  });
}

}  // namespace mdsa::cli
