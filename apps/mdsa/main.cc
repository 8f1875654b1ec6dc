// The command line: parses, calls the library, prints.
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "command_line.h"
#include "console.h"
#include "exit_code.h"
#include "failure.h"

namespace mdsa::cli {
namespace {

int Report(const Failure& failure, bool json, Console& console) {
  if (json) {
    console.Write(FailureJson(failure));
  } else {
    console.Diagnose(FailureText(failure));
  }
  return ExitCodeOf(failure.error.code());
}

int Main(std::vector<std::string> arguments) {
  Console console;
  const bool json = AsksForJson(arguments);
  try {
    const auto command = ParseCommandLine(std::move(arguments));
    if (!command) return Report(command.error(), json, console);
    const CommandResult result = (*command)(console);
    if (!result) return Report(result.error(), json, console);
    if (const Status output = console.output_status(); !output) {
      return Report(output.error(), false, console);
    }
    return *result;
  } catch (const std::bad_alloc&) {
    return Report(Error(ErrorCode::kResourceExhausted, "out of memory"), json, console);
  } catch (const std::exception& defect) {
    return Report(Error(ErrorCode::kInternal, defect.what()), json, console);
  }
}

}  // namespace
}  // namespace mdsa::cli

int main(int argc, char** argv) {
  mdsa::cli::KeepStandardStreamsTaken();
  return mdsa::cli::Main(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
}
