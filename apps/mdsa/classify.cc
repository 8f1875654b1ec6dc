// mdsa classify: labels for texts.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "command_line.h"
#include "exit_code.h"
#include "interrupt.h"
#include "model_options.h"
#include "options.h"
#include "text_batches.h"
#include "text_format.h"

namespace mdsa::cli {
namespace {

struct ClassifyOptions {
  ModelOptions load;
  std::vector<std::string> texts;
  bool json = false;
};

// Indices of the labels, the most probable first.
std::vector<std::size_t> Ranked(std::span<const float> probabilities) {
  std::vector<std::size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(
      order, [&](std::size_t a, std::size_t b) { return probabilities[a] > probabilities[b]; });
  return order;
}

// "positive 0.9981<TAB>negative 0.0019"
std::string Line(std::span<const float> probabilities, const std::vector<std::string>& labels) {
  std::string line;
  for (std::size_t i : Ranked(probabilities)) {
    if (!line.empty()) line += '\t';
    line += fmt::format("{} {:.4f}", OneLine(labels[i]), probabilities[i]);
  }
  return line + "\n";
}

nlohmann::ordered_json Row(std::span<const float> probabilities,
                           const std::vector<std::string>& labels) {
  nlohmann::ordered_json by_label = nlohmann::ordered_json::object();
  for (std::size_t i : Ranked(probabilities)) by_label[labels[i]] = probabilities[i];
  const std::size_t best = Ranked(probabilities).front();
  return {{"label", labels[best]},
          {"probability", probabilities[best]},
          {"probabilities", std::move(by_label)}};
}

CommandResult Classify(const ClassifyOptions& options, Console& console) {
  MDSA_TRY(CheckHasInput(options.texts, console));
  Interrupt interrupt;
  MDSA_ASSIGN(const LoadedModel loaded, LoadModel(options.load, console, interrupt.token()));
  const std::vector<std::string>& labels = loaded.model->description().labels;
  if (labels.empty()) {
    return std::unexpected(
        Failure(Error(ErrorCode::kUnsupported, "this model is no sequence classifier"),
                "`mdsa inspect " + options.load.model + "` shows what it is"));
  }
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  const auto classify = [&](std::span<const std::string> texts) -> Result<bool> {
    MDSA_ASSIGN(const Tensor result, loaded.model->Classify(texts));
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto row = std::span(result.values).subspan(i * labels.size(), labels.size());
      if (options.json) {
        rows.push_back(Row(row, labels));
      } else if (!console.Write(Line(row, labels))) {
        return false;
      }
    }
    return true;
  };
  TextBatches batches(options.texts, interrupt);
  MDSA_TRY(batches.ForEach(static_cast<std::size_t>(options.load.batch_size), classify));
  if (options.json) {
    console.Write(DumpJson({{"model", options.load.model}, {"labels", labels}, {"results", rows}}));
  }
  return kExitOk;
}

}  // namespace

void AddClassifyCommand(CLI::App& app, Command& command) {
  CLI::App* classify = app.add_subcommand("classify", "Give texts labels with probabilities");
  const auto options = std::make_shared<ClassifyOptions>();
  AddModelArgument(*classify, options->load);
  AddTextsArgument(*classify, options->texts);
  AddLoadOptions(*classify, options->load);
  AddBatchSizeOption(*classify, options->load);
  AddJsonFlag(*classify, options->json);
  classify->footer(
      "One line a text: its labels with their probabilities, the likeliest first, tabs between.\n"
      "\nExamples:\n"
      "  mdsa classify sentiment-classifier \"what a film\" \"never again\"\n"
      "  mdsa classify sentiment-classifier --json < questions.txt\n");
  classify->final_callback([options, &command] {
    command = [options](Console& console) { return Classify(*options, console); };
  });
}

}  // namespace mdsa::cli
