// mdsa version: which build this is.
#include "mdsa/version.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "command_line.h"
#include "exit_code.h"
#include "mdsa/hardware.h"
#include "options.h"
#include "text_format.h"

namespace mdsa::cli {
namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "gcc " __VERSION__;
#endif

}  // namespace

void AddVersionCommand(CLI::App& app, Command& command) {
  CLI::App* version = app.add_subcommand("version", "Show which build this is");
  const auto json = std::make_shared<bool>(false);
  AddJsonFlag(*version, *json);
  version->footer(
      "Examples:\n"
      "  mdsa version\n"
      "  mdsa version --json\n");
  version->final_callback([json, &command] {
    command = [json](Console& console) -> CommandResult {
      const auto kernels = KernelTarget();
      if (!kernels) return std::unexpected(kernels.error());
      console.Write(*json ? DumpJson({{"version", Version()},
                                      {"kernel_target", *kernels},
                                      {"compiler", kCompiler}})
                          : fmt::format("mdsa {}\nkernels   {}\ncompiler  {}\n", Version(),
                                        *kernels, kCompiler));
      return kExitOk;
    };
  });
}

}  // namespace mdsa::cli
