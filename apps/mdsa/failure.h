// An error of the library together with what the user can do about it.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "mdsa/result.h"

namespace mdsa::cli {

struct Failure {
  // Implicit, so that MDSA_TRY passes errors of the library on.
  Failure(Error e) : error(std::move(e)) {}  // NOLINT(google-explicit-constructor)
  Failure(Error e, std::string next_step) : error(std::move(e)), hint(std::move(next_step)) {}

  Error error;
  std::string hint;  // one sentence, may be empty
};

// The exit code of a command, or why it failed.
using CommandResult = std::expected<int, Failure>;

// "mdsa: error: <context>: <message>\n", and "hint: ...\n" if there is one. One line each, whatever
// the message holds.
std::string FailureText(const Failure& failure);
// {"error": {"code": ..., "message": ...}} with "hint" if there is one, and a line feed.
std::string FailureJson(const Failure& failure);

}  // namespace mdsa::cli
