#include "failure.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "text_format.h"

namespace mdsa::cli {

std::string FailureText(const Failure& failure) {
  std::string text = fmt::format("mdsa: error: {}\n", OneLine(failure.error.ToString()));
  if (!failure.hint.empty()) text += fmt::format("hint: {}\n", OneLine(failure.hint));
  return text;
}

std::string FailureJson(const Failure& failure) {
  nlohmann::ordered_json error = {{"code", ErrorCodeName(failure.error.code())},
                                  {"message", failure.error.ToString()}};
  if (!failure.hint.empty()) error["hint"] = failure.hint;
  return DumpJson({{"error", std::move(error)}});
}

}  // namespace mdsa::cli
