// The look of --help.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace mdsa::cli {

// As it is typed: "mdsa config check".
std::string FullName(const CLI::App& app);

// Each option once, with the placeholder that its option_text() gives; usage names the arguments.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();

  std::string make_usage(const CLI::App* app, std::string name) const override;
  std::string make_positionals(const CLI::App* app) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_description(const CLI::App* app) const override;
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
  std::string make_footer(const CLI::App* app) const override;
};

}  // namespace mdsa::cli
