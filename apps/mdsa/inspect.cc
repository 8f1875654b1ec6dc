// mdsa inspect: what a checkpoint holds, without loading it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <filesystem>
#include <map>
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
#include "model_options.h"
#include "models/cache_dir.h"
#include "models/checkpoint.h"
#include "models/model_path.h"
#include "options.h"
#include "text_format.h"

namespace mdsa::cli {
namespace {

struct InspectOptions {
  ModelOptions load;
  bool tensors = false;
  bool json = false;
};

struct DTypeUse {
  std::int64_t tensors = 0;
  std::uint64_t bytes = 0;
};

// What the tensors add up to.
struct TensorTotals {
  std::int64_t parameters = 0;  // elements that stand for real numbers
  std::map<std::string, DTypeUse, std::less<>> by_dtype;
};

TensorTotals TotalsOf(const TensorSource& source) {
  TensorTotals totals;
  for (const TensorInfo& tensor : source.tensors()) {
    if (TraitsOf(tensor.dtype).is_float) totals.parameters += tensor.elements();
    DTypeUse& use = totals.by_dtype[std::string(DTypeName(tensor.dtype))];
    ++use.tensors;
    use.bytes += tensor.bytes.size();
  }
  return totals;
}

std::string_view HeadName(ModelHead head) {
  switch (head) {
    case ModelHead::kNone:
      return "none";
    case ModelHead::kCausalLm:
      return "causal_lm";
    case ModelHead::kSequenceClassification:
      return "sequence_classification";
  }
  return "none";
}

std::string_view PoolingName(PoolingMode mode) {
  switch (mode) {
    case PoolingMode::kMean:
      return "mean";
    case PoolingMode::kCls:
      return "cls";
    case PoolingMode::kMax:
      return "max";
    case PoolingMode::kLastToken:
      return "last_token";
  }
  return "mean";
}

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, "x"));
}

// A checkpoint and what belongs to it. A tokenizer that cannot be read does not hide the rest.
struct Subject {
  Checkpoint checkpoint;
  TensorTotals totals;
  std::shared_ptr<const Tokenizer> tokenizer;  // null: none, or the error says why
  std::string tokenizer_error;
};

std::expected<Subject, Failure> Open(const InspectOptions& options) {
  const auto folders = CacheSearchPath(options.load.cache_dir, ModelLoader().cache_dir());
  auto opened = [&]() -> Result<Checkpoint> {
    MDSA_ASSIGN(const auto path, ResolveModelPath(options.load.model, folders));
    return Checkpoint::Open(path);
  }();
  if (!opened) {
    std::string hint = ModelHint(opened.error(), options.load);
    return std::unexpected(Failure(std::move(opened).error(), std::move(hint)));
  }
  TensorTotals totals = TotalsOf(*opened->tensors());
  Subject subject{*std::move(opened), std::move(totals), nullptr, ""};
  auto tokenizer = subject.checkpoint.LoadTokenizer();
  if (tokenizer) {
    subject.tokenizer = *std::move(tokenizer);
  } else if (tokenizer.error().code() != ErrorCode::kNotFound) {
    subject.tokenizer_error = tokenizer.error().ToString();
  }
  return subject;
}

nlohmann::ordered_json TensorsJson(const TensorSource& source) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const TensorInfo& tensor : source.tensors()) {
    rows.push_back({{"name", tensor.name},
                    {"dtype", DTypeName(tensor.dtype)},
                    {"shape", tensor.shape},
                    {"bytes", tensor.bytes.size()}});
  }
  return rows;
}

nlohmann::ordered_json TokenizerJson(const Subject& subject) {
  if (!subject.tokenizer_error.empty()) return {{"error", subject.tokenizer_error}};
  if (subject.tokenizer == nullptr) return nullptr;
  return {{"vocab_size", subject.tokenizer->vocab_size()},
          {"chat_template", !subject.tokenizer->chat_template().empty()}};
}

std::string Json(const InspectOptions& options, const Subject& subject) {
  const ArchitectureConfig& config = subject.checkpoint.config();
  const std::optional<PoolingConfig>& pooling = subject.checkpoint.pooling();
  const TensorSource& source = *subject.checkpoint.tensors();
  nlohmann::ordered_json dtypes = nlohmann::ordered_json::object();
  for (const auto& [name, use] : subject.totals.by_dtype) {
    dtypes[name] = {{"tensors", use.tensors}, {"bytes", use.bytes}};
  }
  nlohmann::ordered_json out = {{"model", options.load.model},
                                {"path", subject.checkpoint.path().string()},
                                {"format", subject.checkpoint.format()},
                                {"family", ModelFamilyName(config.family)},
                                {"architecture", config.architecture},
                                {"head", HeadName(config.head)},
                                {"parameters", subject.totals.parameters},
                                {"context_length", config.max_position_embeddings},
                                {"vocab_size", config.vocab_size},
                                {"hidden_size", config.hidden_size},
                                {"intermediate_size", config.intermediate_size},
                                {"layers", config.num_layers},
                                {"heads", config.num_heads},
                                {"kv_heads", config.num_kv_heads},
                                {"head_dim", config.head_dim},
                                {"tensor_count", source.tensors().size()},
                                {"tensor_bytes", subject.checkpoint.source_bytes()},
                                {"dtypes", std::move(dtypes)},
                                {"tokenizer", TokenizerJson(subject)},
                                {"labels", config.labels}};
  out["pooling"] = nullptr;
  if (pooling) {
    out["pooling"] = {{"mode", PoolingName(pooling->mode)}, {"normalize", pooling->normalize}};
  }
  if (options.tensors) out["tensors"] = TensorsJson(source);
  return DumpJson(out);
}

std::string TokenizerText(const Subject& subject) {
  if (!subject.tokenizer_error.empty()) return "unreadable: " + OneLine(subject.tokenizer_error);
  if (subject.tokenizer == nullptr) return "none";
  return fmt::format("{} tokens", subject.tokenizer->vocab_size());
}

std::string Summary(const Subject& subject) {
  const ArchitectureConfig& config = subject.checkpoint.config();
  std::vector<std::vector<std::string>> rows = {
      {"path", OneLine(subject.checkpoint.path().string())},
      {"format", std::string(subject.checkpoint.format())},
      {"family", std::string(ModelFamilyName(config.family))},
      {"architecture", OneLine(config.architecture)},
      {"parameters", HumanCount(subject.totals.parameters)},
      {"context", fmt::format("{} tokens", config.max_position_embeddings)},
      {"vocabulary", fmt::format("{} tokens", config.vocab_size)},
      {"hidden size",
       fmt::format("{}, feed-forward {}", config.hidden_size, config.intermediate_size)},
      {"layers", std::to_string(config.num_layers)},
      {"heads", fmt::format("{} of {}, {} for keys and values", config.num_heads, config.head_dim,
                            config.num_kv_heads)},
      {"tokenizer", TokenizerText(subject)},
      {"chat template",
       subject.tokenizer != nullptr && !subject.tokenizer->chat_template().empty() ? "yes" : "no"}};
  if (const auto& pooling = subject.checkpoint.pooling()) {
    rows.push_back({"pooling", fmt::format("{}{}", PoolingName(pooling->mode),
                                           pooling->normalize ? ", normalized" : "")});
  }
  if (!config.labels.empty()) {
    rows.push_back({"labels", OneLine(fmt::format("{}", fmt::join(config.labels, ", ")))});
  }
  rows.push_back({"tensors", fmt::format("{}, {}", subject.checkpoint.tensors()->tensors().size(),
                                         HumanBytes(subject.checkpoint.source_bytes()))});
  for (const auto& [name, use] : subject.totals.by_dtype) {
    rows.push_back(
        {fmt::format("  {}", name), fmt::format("{}, {}", use.tensors, HumanBytes(use.bytes))});
  }
  return Table(rows, {false, false});
}

std::string TensorTable(const TensorSource& source) {
  std::vector<std::vector<std::string>> rows = {{"tensor", "dtype", "shape", "bytes"}};
  for (const TensorInfo& tensor : source.tensors()) {
    rows.push_back({OneLine(tensor.name), std::string(DTypeName(tensor.dtype)),
                    ShapeText(tensor.shape), std::to_string(tensor.bytes.size())});
  }
  return Table(rows, {false, false, true, true});
}

CommandResult Inspect(const InspectOptions& options, Console& console) {
  MDSA_ASSIGN(const Subject subject, Open(options));
  if (options.json) {
    console.Write(Json(options, subject));
  } else if (options.tensors) {
    console.Write(TensorTable(*subject.checkpoint.tensors()));
  } else {
    console.Write(Summary(subject));
  }
  return kExitOk;
}

}  // namespace

void AddInspectCommand(CLI::App& app, Command& command) {
  CLI::App* inspect = app.add_subcommand("inspect", "Show what a checkpoint holds");
  const auto options = std::make_shared<InspectOptions>();
  AddModelArgument(*inspect, options->load);
  inspect->add_flag("--tensors", options->tensors, "List the tensors: name, dtype, shape, bytes");
  AddJsonFlag(*inspect, options->json);
  inspect->footer(
      "Reads headers and the tokenizer, no weights.\n"
      "\nExamples:\n"
      "  mdsa inspect all-MiniLM-L6-v2\n"
      "  mdsa inspect SmolLM2-135M-Instruct.Q4_1.gguf --tensors\n"
      "  mdsa inspect SmolLM2-135M-Instruct.Q4_1.gguf --json\n");
  inspect->final_callback([options, &command] {
    command = [options](Console& console) { return Inspect(*options, console); };
  });
}

}  // namespace mdsa::cli
