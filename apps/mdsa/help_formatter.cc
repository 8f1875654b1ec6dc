#include "help_formatter.h"

#include <utility>

namespace mdsa::cli {

std::string FullName(const CLI::App& app) {
  if (app.get_parent() == nullptr) return app.get_name();
  return FullName(*app.get_parent()) + " " + app.get_name();
}

HelpFormatter::HelpFormatter() { column_width(30); }

std::string HelpFormatter::make_usage(const CLI::App* app, std::string) const {
  std::string usage = "\nUsage: " + FullName(*app);
  if (app->get_require_subcommand_min() > 0) return usage + " COMMAND [OPTIONS]\n";
  for (const CLI::Option* option : app->get_options()) {
    if (!option->get_positional()) continue;
    std::string name = option->get_name(true, false);
    if (option->get_expected_max() > 1) name += "...";
    usage += option->get_required() ? " " + name : " [" + name + "]";
  }
  return usage + " [OPTIONS]\n";
}

std::string HelpFormatter::make_positionals(const CLI::App* app) const {
  std::string text;
  for (const CLI::Option* option : app->get_options()) {
    if (option->get_positional()) text += make_option(option, true);
  }
  return text.empty() ? text : "\nArguments:\n" + text;
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  if (option->get_positional() || option->get_option_text().empty()) return "";
  return " " + option->get_option_text();
}

std::string HelpFormatter::make_description(const CLI::App* app) const {
  return app->get_description() + "\n";
}

std::string HelpFormatter::make_footer(const CLI::App* app) const { return app->get_footer(); }

// One empty line between parts; the base class leaves one or two.
std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode mode) const {
  std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
  for (auto at = text.find("\n\n\n"); at != std::string::npos; at = text.find("\n\n\n")) {
    text.erase(at, 1);
  }
  return text;
}

}  // namespace mdsa::cli
