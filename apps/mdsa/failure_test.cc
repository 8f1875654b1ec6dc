#include "failure.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "exit_code.h"

namespace mdsa::cli {
namespace {

TEST(FailureTest, TextNamesContextAndNextStep) {
  const Failure failure(
      Error(ErrorCode::kNotFound, "there is none").AddContext("config.json").AddContext("model"),
      "look elsewhere");
  EXPECT_EQ(FailureText(failure),
            "mdsa: error: model: config.json: there is none\nhint: look elsewhere\n");
}

TEST(FailureTest, StaysOnItsLineWhateverTheFileHolds) {
  const Failure failure(Error(ErrorCode::kInvalidFormat, "tensor 'a\nb\x1b[2J'"));
  EXPECT_EQ(FailureText(failure), "mdsa: error: tensor 'a\\nb\\x1b[2J'\n");
}

TEST(FailureTest, JsonHoldsCodeMessageAndHint) {
  const auto with = nlohmann::json::parse(
      FailureJson(Failure(Error(ErrorCode::kIo, "disk \xff").AddContext("f"), "free some space")));
  EXPECT_EQ(with["error"]["code"], "io");
  EXPECT_EQ(with["error"]["message"], "f: disk \xef\xbf\xbd");
  EXPECT_EQ(with["error"]["hint"], "free some space");
  const auto without = nlohmann::json::parse(FailureJson(Error(ErrorCode::kInternal, "x")));
  EXPECT_EQ(without["error"].size(), 2u);
}

TEST(ExitCodeTest, IsTheDocumentedOne) {
  EXPECT_EQ(ExitCodeOf(ErrorCode::kInternal), 1);
  EXPECT_EQ(ExitCodeOf(ErrorCode::kInvalidArgument), 2);
  EXPECT_EQ(ExitCodeOf(ErrorCode::kNotFound), 3);
  EXPECT_EQ(ExitCodeOf(ErrorCode::kInvalidFormat), 4);
  EXPECT_EQ(ExitCodeOf(ErrorCode::kUnsupported), 5);
  EXPECT_EQ(ExitCodeOf(ErrorCode::kResourceExhausted), 6);
  EXPECT_EQ(ExitCodeOf(ErrorCode::kFailedPrecondition), 7);
  EXPECT_EQ(ExitCodeOf(ErrorCode::kAlreadyExists), 7);
  EXPECT_EQ(ExitCodeOf(ErrorCode::kIo), 8);
  EXPECT_EQ(ExitCodeOf(ErrorCode::kDeadlineExceeded), 9);
  EXPECT_EQ(ExitCodeOf(ErrorCode::kCancelled), 130);
}

}  // namespace
}  // namespace mdsa::cli
