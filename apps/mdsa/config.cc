// mdsa config check: whether a configuration file is right, and what it means on this machine.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

#include "command_line.h"
#include "config_report.h"
#include "exit_code.h"
#include "mdsa/config_file.h"
#include "options.h"

namespace mdsa::cli {
namespace {

struct CheckOptions {
  std::string file = "mdsa.toml";
  bool strict = false;
  bool json = false;
};

std::string Hint(const Error& error) {
  if (error.code() != ErrorCode::kNotFound) return "";
  return "FILE is a configuration as docs/configuration.md describes it";
}

CommandResult Check(const CheckOptions& options, Console& console) {
  auto file = ConfigFile::Read(options.file);
  if (!file) {
    std::string hint = Hint(file.error());
    return std::unexpected(Failure(std::move(file).error(), std::move(hint)));
  }
  const ConfigReport report = ReportOn(*std::move(file));
  if (options.strict && !report.warnings.empty()) {
    const std::size_t count = report.warnings.size();
    return std::unexpected(Failure(
        report.warnings.front(),
        count == 1
            ? ""
            : fmt::format("`mdsa config check` without --strict lists all {} warnings", count)));
  }
  console.Write(options.json ? ReportJson(options.file, report) : ReportText(report));
  return kExitOk;
}

}  // namespace

void AddConfigCommand(CLI::App& app, Command& command) {
  CLI::App* config = app.add_subcommand("config", "Check a configuration file");
  config->require_subcommand(1);
  config->footer(
      "Examples:\n"
      "  mdsa config check\n"
      "  mdsa config check --help\n");
  CLI::App* check = config->add_subcommand("check", "Say whether a configuration file is right");
  check->group("Commands");
  const auto options = std::make_shared<CheckOptions>();
  AsWritten(check->add_option("FILE", options->file, "Configuration (default: mdsa.toml)"));
  check->add_flag("--strict", options->strict, "A warning is an error");
  AddJsonFlag(*check, options->json);
  check->footer(
      "Shows the models with their effective settings, whether they are on this machine, and what\n"
      "they would need in memory. Reads headers, no weights.\n"
      "\nExamples:\n"
      "  mdsa config check\n"
      "  mdsa config check mdsa.toml --strict\n"
      "  mdsa config check --json\n");
  check->final_callback([options, &command] {
    command = [options](Console& console) { return Check(*options, console); };
  });
}

}  // namespace mdsa::cli
