// mdsa embed: texts to vectors.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
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

struct EmbedOptions {
  ModelOptions load;
  std::vector<std::string> texts;
  bool json = false;
};

CommandResult Embed(const EmbedOptions& options, Console& console) {
  MDSA_TRY(CheckHasInput(options.texts, console));
  Interrupt interrupt;
  MDSA_ASSIGN(const LoadedModel loaded, LoadModel(options.load, console, interrupt.token()));
  std::string rows;  // of --json
  std::int64_t dim = loaded.model->description().hidden_size;
  const auto embed = [&](std::span<const std::string> texts) -> Result<bool> {
    MDSA_ASSIGN(const Tensor vectors, loaded.model->Embed(texts));
    dim = vectors.shape[1];
    const auto width = static_cast<std::size_t>(dim);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string row = FloatArray(std::span(vectors.values).subspan(i * width, width));
      if (options.json) {
        rows += (rows.empty() ? "\n    " : ",\n    ") + row;
      } else if (!console.Write(row + "\n")) {
        return false;
      }
    }
    return true;
  };
  TextBatches batches(options.texts, interrupt);
  MDSA_TRY(batches.ForEach(static_cast<std::size_t>(options.load.batch_size), embed));
  if (options.json) {
    // The vectors are the bulk and already text; the rest is small enough to be put by hand.
    console.Write(
        fmt::format("{{\n  \"model\": {},\n  \"dim\": {},\n  \"embeddings\": [{}\n  ]\n}}\n",
                    nlohmann::json(options.load.model)
                        .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                    dim, rows));
  }
  return kExitOk;
}

}  // namespace

void AddEmbedCommand(CLI::App& app, Command& command) {
  CLI::App* embed = app.add_subcommand("embed", "Turn texts into vectors");
  const auto options = std::make_shared<EmbedOptions>();
  AddModelArgument(*embed, options->load);
  AddTextsArgument(*embed, options->texts);
  AddLoadOptions(*embed, options->load);
  AddBatchSizeOption(*embed, options->load);
  AddJsonFlag(*embed, options->json);
  embed->footer(
      "One JSON array a text and line; with --json one object with dim, model and embeddings.\n"
      "\nExamples:\n"
      "  mdsa embed all-MiniLM-L6-v2 \"a text\" \"and another\"\n"
      "  mdsa embed all-MiniLM-L6-v2 --json \"a text\"\n"
      "  mdsa embed all-MiniLM-L6-v2 < questions.txt > vectors.jsonl\n");
  embed->final_callback([options, &command] {
    command = [options](Console& console) { return Embed(*options, console); };
  });
}

}  // namespace mdsa::cli
