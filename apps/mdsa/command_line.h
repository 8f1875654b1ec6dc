// From arguments to the one command they ask for.
#pragma once

#include <CLI/CLI.hpp>
#include <expected>
#include <functional>
#include <string>
#include <vector>

#include "console.h"
#include "failure.h"

namespace mdsa::cli {

// What a command line asks for.
using Command = std::function<CommandResult(Console&)>;

// Each adds one subcommand (in the file of its name), which sets `command` when it is named.
void AddRunCommand(CLI::App& app, Command& command);
void AddEmbedCommand(CLI::App& app, Command& command);
void AddClassifyCommand(CLI::App& app, Command& command);
void AddEstimateCommand(CLI::App& app, Command& command);
void AddExplainCommand(CLI::App& app, Command& command);
void AddInspectCommand(CLI::App& app, Command& command);
void AddQuantizeCommand(CLI::App& app, Command& command);
void AddConfigCommand(CLI::App& app, Command& command);
void AddHwCommand(CLI::App& app, Command& command);
void AddVersionCommand(CLI::App& app, Command& command);

// The command to run; --help is one that prints it. kInvalidArgument with a hint for arguments that
// make no sense. `arguments` are without the program's name.
std::expected<Command, Failure> ParseCommandLine(std::vector<std::string> arguments);

// Whether --json is among the arguments, sensible or not: errors are JSON then too.
bool AsksForJson(const std::vector<std::string>& arguments);

}  // namespace mdsa::cli
