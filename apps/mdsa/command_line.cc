#include "command_line.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "exit_code.h"
#include "help_formatter.h"
#include "mdsa/version.h"
#include "options.h"

namespace mdsa::cli {
namespace {

constexpr const char* kDescription =
    "mdsa runs language models of this machine: loads a Hugging Face folder or a GGUF file,\n"
    "quantizes it on the way in, and generates, embeds or classifies.";

std::unique_ptr<CLI::App> MakeApp(Command& command) {
  auto app = std::make_unique<CLI::App>(kDescription, "mdsa");
  app->formatter(std::make_shared<HelpFormatter>());
  app->set_help_flag("-h,--help", "Print this help");
  app->set_version_flag("--version", std::string("mdsa ") + Version(), "Print the version");
  app->footer(std::string(kExitCodeHelp) +
              "\n`mdsa COMMAND --help` shows a command with examples.\n");
  AddRunCommand(*app, command);
  AddEmbedCommand(*app, command);
  AddClassifyCommand(*app, command);
  AddEstimateCommand(*app, command);
  AddExplainCommand(*app, command);
  AddInspectCommand(*app, command);
  AddQuantizeCommand(*app, command);
  AddConfigCommand(*app, command);
  AddHwCommand(*app, command);
  AddVersionCommand(*app, command);
  for (CLI::App* subcommand : app->get_subcommands({})) subcommand->group("Commands");
  app->require_subcommand(1);
  return app;
}

// The innermost command that the line names.
const CLI::App& NamedApp(const CLI::App& app) {
  const auto subcommands = app.get_subcommands();
  return subcommands.empty() ? app : NamedApp(*subcommands.front());
}

Failure UsageFailure(const CLI::App& app, const CLI::ParseError& error) {
  return {Error(ErrorCode::kInvalidArgument, error.what()),
          "see `" + FullName(NamedApp(app)) + " --help`"};
}

Command PrintCommand(std::string text) {
  return [text = std::move(text)](Console& console) -> CommandResult {
    console.Write(text);
    return kExitOk;
  };
}

}  // namespace

std::expected<Command, Failure> ParseCommandLine(std::vector<std::string> arguments) {
  Command command;
  const auto app = MakeApp(command);
  ProtectBrackets(arguments);
  std::ranges::reverse(arguments);  // CLI11 takes them from the end
  try {
    app->parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    return PrintCommand(NamedApp(*app).help());
  } catch (const CLI::CallForVersion& version) {
    return PrintCommand(std::string(version.what()) + "\n");
  } catch (const CLI::ParseError& error) {
    return std::unexpected(UsageFailure(*app, error));
  }
  return command;
}

bool AsksForJson(const std::vector<std::string>& arguments) {
  const auto end = std::ranges::find(arguments, "--");
  return std::find(arguments.begin(), end, "--json") != end;
}

}  // namespace mdsa::cli
