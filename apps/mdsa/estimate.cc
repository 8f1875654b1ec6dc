// mdsa estimate: memory before loading.
#include <fmt/format.h>

#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "command_line.h"
#include "exit_code.h"
#include "model_options.h"
#include "options.h"
#include "text_format.h"

namespace mdsa::cli {
namespace {

constexpr std::int64_t kDefaultLength = 2048;

struct EstimateOptions {
  ModelOptions load;
  std::string quantization;  // empty: all
  bool json = false;
};

struct Estimate {
  std::string quantization;
  MemoryEstimate memory;
};

std::expected<std::vector<Estimate>, Failure> EstimateAll(const EstimateOptions& options) {
  static constexpr std::array kAll = {QuantizationType::kNone, QuantizationType::kFp16,
                                      QuantizationType::kBFloat16, QuantizationType::kInt8,
                                      QuantizationType::kInt4};
  std::vector<std::string> names = {options.quantization};
  if (options.quantization.empty()) {
    names.clear();
    for (QuantizationType type : kAll) names.emplace_back(QuantizationTypeName(type));
  }
  const ModelLoader loader = ModelLoader();
  std::vector<Estimate> estimates;
  for (std::string& name : names) {
    ModelOptions load = options.load;
    load.quantization = name;
    auto memory = loader.EstimateMemory(load.Config());
    if (!memory) {
      std::string hint = ModelHint(memory.error(), load);
      return std::unexpected(Failure(std::move(memory).error(), std::move(hint)));
    }
    estimates.push_back({std::move(name), *memory});
  }
  return estimates;
}

// What the estimate counts with: the option, capped by the model's context. An encoder keeps no
// cache, so that its cap does not show.
std::int64_t CountedTokens(const EstimateOptions& options, const MemoryEstimate& memory) {
  if (memory.kv_bytes_per_token == 0) return options.load.max_length;
  return static_cast<std::int64_t>(memory.kv_bytes / memory.kv_bytes_per_token);
}

std::string Json(const EstimateOptions& options, const std::vector<Estimate>& estimates) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const auto& [quantization, memory] : estimates) {
    rows.push_back({{"quantization", quantization},
                    {"weights_bytes", memory.weights_bytes},
                    {"mapped_bytes", memory.mapped_bytes},
                    {"tokenizer_bytes", memory.tokenizer_bytes},
                    {"kv_bytes_per_token", memory.kv_bytes_per_token},
                    {"kv_bytes", memory.kv_bytes},
                    {"scratch_bytes", memory.scratch_bytes},
                    {"resident_bytes", memory.resident_bytes()},
                    {"peak_load_bytes", memory.peak_load_bytes},
                    {"approximate", memory.approximate}});
  }
  return DumpJson({{"model", options.load.model},
                   {"max_length", CountedTokens(options, estimates.front().memory)},
                   {"estimates", std::move(rows)}});
}

std::string OneText(const EstimateOptions& options, const MemoryEstimate& memory) {
  const std::string per_token =
      fmt::format("{} a token, {} tokens at most", HumanBytes(memory.kv_bytes_per_token),
                  CountedTokens(options, memory));
  return Table(
      {{"weights", HumanBytes(memory.weights_bytes),
        memory.mapped_bytes > 0 ? fmt::format("{} of them mapped", HumanBytes(memory.mapped_bytes))
                                : ""},
       {"tokenizer", HumanBytes(memory.tokenizer_bytes), ""},
       {"KV cache", HumanBytes(memory.kv_bytes), memory.kv_bytes_per_token > 0 ? per_token : ""},
       {"scratch", HumanBytes(memory.scratch_bytes), "activations of one call"},
       {"resident", HumanBytes(memory.resident_bytes()), "the sum of these"},
       {"peak of load", HumanBytes(memory.peak_load_bytes), ""}},
      {false, true, false});
}

std::string AllText(const EstimateOptions& options, const std::vector<Estimate>& estimates) {
  std::vector<std::vector<std::string>> rows = {{"quantization", "weights", "mapped", "tokenizer",
                                                 "KV cache", "scratch", "resident",
                                                 "peak of load"}};
  for (const auto& [quantization, memory] : estimates) {
    rows.push_back({quantization, HumanBytes(memory.weights_bytes), HumanBytes(memory.mapped_bytes),
                    HumanBytes(memory.tokenizer_bytes), HumanBytes(memory.kv_bytes),
                    HumanBytes(memory.scratch_bytes), HumanBytes(memory.resident_bytes()),
                    HumanBytes(memory.peak_load_bytes)});
  }
  std::string text = Table(rows, {false, true, true, true, true, true, true, true});
  if (estimates.front().memory.kv_bytes_per_token > 0) {
    text += fmt::format("\nKV cache of {} tokens, {} each (--max-length changes it).\n",
                        CountedTokens(options, estimates.front().memory),
                        HumanBytes(estimates.front().memory.kv_bytes_per_token));
  }
  return text;
}

CommandResult PrintEstimates(const EstimateOptions& options, Console& console) {
  MDSA_ASSIGN(const std::vector<Estimate> estimates, EstimateAll(options));
  if (options.json) {
    console.Write(Json(options, estimates));
    return kExitOk;
  }
  console.Write(estimates.size() == 1 ? OneText(options, estimates.front().memory)
                                      : AllText(options, estimates));
  if (estimates.front().memory.approximate) {
    console.Write("\nApproximate: no file of this model is at hand.\n");
  }
  return kExitOk;
}

}  // namespace

void AddEstimateCommand(CLI::App& app, Command& command) {
  CLI::App* estimate = app.add_subcommand("estimate", "Show what a model would need in memory");
  const auto options = std::make_shared<EstimateOptions>();
  options->load.max_length = kDefaultLength;
  options->load.batch_size = 1;
  AddModelArgument(*estimate, options->load);
  AddQuantizationOption(*estimate, options->quantization)
      ->description("none, int4, int8, fp16 or bfloat16 (default: all)");
  estimate->add_option("--max-length", options->load.max_length)
      ->description("Tokens of prompt and answer together\n(default: 2048, at most the context)")
      ->check(Whole(1, 1 << 30))
      ->option_text("N");
  AddJsonFlag(*estimate, options->json);
  estimate->footer(
      "Reads headers only. 1 MB is 1,000,000 bytes.\n"
      "\nExamples:\n"
      "  mdsa estimate all-MiniLM-L6-v2\n"
      "  mdsa estimate SmolLM2-135M-Instruct.Q4_1.gguf --quantization int4\n"
      "  mdsa estimate SmolLM2-135M-Instruct.Q4_1.gguf --json\n");
  estimate->final_callback([options, &command] {
    command = [options](Console& console) { return PrintEstimates(*options, console); };
  });
}

}  // namespace mdsa::cli
