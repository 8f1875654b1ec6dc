// mdsa explain: what loading a model would do to those that are resident.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "command_line.h"
#include "exit_code.h"
#include "explain_report.h"
#include "mdsa/model_manager.h"
#include "model_options.h"
#include "models/near_miss.h"
#include "options.h"
#include "text_format.h"

namespace mdsa::cli {
namespace {

using Verdict = ResidencyExplanation::Verdict;

constexpr const char* kDefaultFile = "mdsa.toml";

struct ExplainOptions {
  ModelOptions load;         // MODEL, --cache-dir
  std::string quantization;  // empty: as the file says, or none
  std::int64_t max_length = 0;
  std::optional<std::string> file;
  std::vector<std::string> resident;  // empty: those that the file preloads
  bool json = false;
};

// What is asked, with all names resolved.
struct Question {
  std::string file_name;  // empty: without one
  ConfigFile file;
  ModelConfig config;  // of MODEL
  std::vector<DeclaredModel> residents;
};

// --- the question ---

std::expected<ConfigFile, Failure> ReadConfig(const std::string& name) {
  if (name.empty()) return ConfigFile();
  auto file = ConfigFile::Read(name);
  if (file) return *std::move(file);
  std::string hint;
  if (file.error().code() == ErrorCode::kNotFound) {
    hint = "FILE is a configuration as docs/configuration.md describes it";
  }
  return std::unexpected(Failure(std::move(file).error(), std::move(hint)));
}

// The answer is about models that have been resident for long, so no time shall matter in it.
void TakeTimesOut(ConfigFile& file) {
  file.residency.time_to_live.reset();
  file.residency.min_residency = {};
  for (DeclaredModel& model : file.models) model.settings.time_to_live.reset();
}

const DeclaredModel* FindDeclared(const ConfigFile& file, std::string_view id) {
  const auto found = std::ranges::find(file.models, id, &DeclaredModel::id);
  return found == file.models.end() ? nullptr : &*found;
}

std::vector<std::string_view> IdsOf(const ConfigFile& file) {
  std::vector<std::string_view> ids;
  for (const DeclaredModel& model : file.models) ids.emplace_back(model.id);
  return ids;
}

Result<std::vector<DeclaredModel>> Residents(const ExplainOptions& options,
                                             const ConfigFile& file) {
  std::vector<DeclaredModel> residents;
  if (options.resident.empty()) {
    std::ranges::copy_if(file.models, std::back_inserter(residents), &DeclaredModel::preload);
  }
  for (const std::string& id : options.resident) {
    const DeclaredModel* model = FindDeclared(file, id);
    if (model == nullptr) {
      return Err(ErrorCode::kInvalidArgument, "--resident: '{}' is no model of the file{}", id,
                 file.models.empty() ? "" : Suggestion(id, IdsOf(file)));
    }
    if (std::ranges::count(residents, id, &DeclaredModel::id) == 0) residents.push_back(*model);
  }
  return residents;
}

// As the file declares it, or as a [[model]] with this source and nothing else; options win.
ModelConfig ConfigOf(const ExplainOptions& options, const ConfigFile& file) {
  ModelConfig config;
  config.model_name = options.load.model;
  if (const DeclaredModel* model = FindDeclared(file, options.load.model)) config = model->config;
  if (!options.quantization.empty()) {
    // The option accepts only known names.
    config.quantization = ParseQuantizationType(options.quantization).value_or(config.quantization);
  }
  if (options.max_length > 0) config.max_length = options.max_length;
  if (options.load.cache_dir) config.cache_dir = options.load.cache_dir;
  return config;
}

std::expected<Question, Failure> Ask(const ExplainOptions& options) {
  Question question;
  std::error_code ignored;
  if (options.file) {
    question.file_name = *options.file;
  } else if (std::filesystem::exists(kDefaultFile, ignored)) {
    question.file_name = kDefaultFile;
  }
  MDSA_ASSIGN(question.file, ReadConfig(question.file_name));
  TakeTimesOut(question.file);
  MDSA_ASSIGN(question.residents, Residents(options, question.file));
  question.config = ConfigOf(options, question.file);
  return question;
}

// --- the answer ---

struct Size {
  std::uint64_t bytes = 0;
  bool approximate = false;
};

// What the manager keeps reserved for the model: itself and the room for one call.
Result<Size> SizeOf(const ModelManager& manager, const DeclaredModel& model) {
  auto explained = manager.Explain(model.id, model.config);
  if (explained) {
    return Size{explained->resident_bytes + explained->call_bytes, explained->approximate};
  }
  if (explained.error().code() != ErrorCode::kNotFound) {
    return std::unexpected(std::move(explained).error());
  }
  // Not on this machine: its name may tell.
  MDSA_ASSIGN(const MemoryEstimate estimate, manager.loader().EstimateMemory(model.config));
  return Size{estimate.resident_bytes(), estimate.approximate};
}

// Takes the place that the loaded model would take.
Status AddStandIn(ModelManager& manager, const DeclaredModel& model, std::uint64_t bytes) {
  ModelRegistry::Entry entry;
  entry.config = model.config;
  entry.foreign = std::make_shared<char>();
  entry.memory_mb = static_cast<double>(bytes) / 1e6;
  auto evicted = manager.registry().Register(model.id, std::move(entry));
  if (!evicted) return std::unexpected(std::move(evicted).error());
  if (evicted->empty()) return {};
  return Err(ErrorCode::kResourceExhausted, "it would evict '{}'", evicted->front());
}

Status AddStandIns(ModelManager& manager, const Question& question, ExplainReport& report) {
  for (const DeclaredModel& model : question.residents) {
    auto size = SizeOf(manager, model);
    Status added =
        size ? AddStandIn(manager, model, size->bytes) : std::unexpected(std::move(size).error());
    if (!added) {
      return std::unexpected(std::move(added).error().AddContext(
          fmt::format("'{}' cannot be resident with the others", model.id)));
    }
    if (size->approximate) report.guessed.insert(model.id);
  }
  return {};
}

// The stand-ins take no memory, so what the machine has left is what it has without them.
std::string NoteOn(const ResidencyExplanation& explanation) {
  const bool loads =
      explanation.verdict == Verdict::kFits || explanation.verdict == Verdict::kEvicts;
  if (!loads || !explanation.machine_bytes) return "";
  std::uint64_t together = explanation.peak_bytes;
  for (const auto& kept : explanation.kept) together += kept.bytes;
  if (together <= *explanation.machine_bytes) return "";
  return fmt::format("the load and the models that stay take up to {}, the machine has {} left",
                     HumanBytes(together), HumanBytes(*explanation.machine_bytes));
}

std::string HintFor(const Error& error, const Question& question, const ExplainOptions& options) {
  if (error.code() == ErrorCode::kNotFound && !question.file.models.empty() &&
      FindDeclared(question.file, options.load.model) == nullptr) {
    return fmt::format("{} has no model of this id{}", question.file_name,
                       Suggestion(options.load.model, IdsOf(question.file)));
  }
  return ModelHint(error, options.load);
}

std::expected<ExplainReport, Failure> AnswerTo(const Question& question,
                                               const ExplainOptions& options) {
  ExplainReport report;
  report.config_file = question.file_name;
  report.config = question.config;
  MDSA_ASSIGN(const auto manager, ModelManager::Create(question.file));
  if (auto added = AddStandIns(*manager, question, report); !added) {
    return std::unexpected(
        Failure(std::move(added).error(), "--resident ID names the models that are resident"));
  }
  auto explanation = manager->Explain(options.load.model, question.config);
  if (!explanation) {
    std::string hint = HintFor(explanation.error(), question, options);
    return std::unexpected(Failure(std::move(explanation).error(), std::move(hint)));
  }
  report.explanation = *std::move(explanation);
  report.note = NoteOn(report.explanation);
  return report;
}

CommandResult Explain(const ExplainOptions& options, Console& console) {
  MDSA_ASSIGN(const Question question, Ask(options));
  MDSA_ASSIGN(const ExplainReport report, AnswerTo(question, options));
  console.Write(options.json ? ReportJson(report) : ReportText(report));
  return report.explanation.verdict == Verdict::kRefused ? ExitCodeOf(ErrorCode::kResourceExhausted)
                                                         : kExitOk;
}

}  // namespace

void AddExplainCommand(CLI::App& app, Command& command) {
  CLI::App* explain =
      app.add_subcommand("explain", "Show what loading a model would do to the others");
  const auto options = std::make_shared<ExplainOptions>();
  AddModelArgument(*explain, options->load);
  explain->get_option("MODEL")->description(
      "Id of the configuration, or a directory,\nGGUF file, or Hub id in the local caches");
  AsWritten(explain->add_option("--config", options->file,
                                "Limits and models (default: mdsa.toml, if it exists)"))
      ->option_text("FILE");
  AsWritten(explain->add_option("--resident", options->resident,
                                "A model of FILE that is resident; may be given several\n"
                                "times, least recently used first\n"
                                "(default: those that FILE preloads)"))
      ->option_text("ID")
      ->allow_extra_args(false);
  AddQuantizationOption(*explain, options->quantization)
      ->description("none, int4, int8, fp16 or bfloat16\n(default: as FILE says, or none)");
  explain->add_option("--max-length", options->max_length)
      ->description("Most tokens of prompt and answer together\n(default: as FILE says, or 512)")
      ->check(Whole(1, 1 << 30))
      ->option_text("N");
  AddJsonFlag(*explain, options->json);
  explain->footer(
      "Reads headers only; nothing is loaded. The resident models are taken to be idle.\n"
      "Exit code 6 if the model is refused.\n"
      "\nExamples:\n"
      "  mdsa explain chat\n"
      "  mdsa explain chat --config mdsa.toml --resident search --resident sentiment\n"
      "  mdsa explain SmolLM2-135M-Instruct.Q4_1.gguf --quantization int4 --json\n");
  explain->final_callback([options, &command] {
    command = [options](Console& console) { return Explain(*options, console); };
  });
}

}  // namespace mdsa::cli
