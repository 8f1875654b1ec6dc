#include "mdsa/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "base/error.h"

namespace mdsa {
namespace {

TEST(ErrorTest, ContextReadsFromTheOutsideIn) {
  Error error(ErrorCode::kInvalidFormat, "offsets overlap");
  error.AddContext("tensor 'a'").AddContext("model.safetensors");
  EXPECT_EQ(error.ToString(), "model.safetensors: tensor 'a': offsets overlap");
  EXPECT_EQ(error.message(), "offsets overlap");
  EXPECT_EQ(error.context().size(), 2u);
}

TEST(ErrorTest, ContextOnATemporaryKeepsCodeAndMessage) {
  const Error error = Error(ErrorCode::kIo, "short read").AddContext("config.json");
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_EQ(error.ToString(), "config.json: short read");
}

TEST(ErrorTest, CodeNamesAreDistinct) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    names.insert(ErrorCodeName(static_cast<ErrorCode>(code)));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(ErrorCode::kInternal) + 1);
  EXPECT_EQ(ErrorCodeName(ErrorCode::kInvalidFormat), "invalid_format");
}

Status CheckPositive(int n) {
  if (n <= 0) return Err(ErrorCode::kInvalidArgument, "{} is not positive", n);
  return {};
}

Result<std::unique_ptr<int>> MakePositive(int n) {
  MDSA_TRY(CheckPositive(n));
  return std::make_unique<int>(n);
}

Result<int> SumOfTwo(int a, int b) {
  MDSA_ASSIGN(std::unique_ptr<int> first, MakePositive(a));
  MDSA_ASSIGN(std::unique_ptr<int> second, MakePositive(b));
  return *first + *second;
}

TEST(ResultTest, MacrosPassValuesOn) { EXPECT_EQ(SumOfTwo(2, 3), 5); }

TEST(ResultTest, MacrosReturnTheFirstError) {
  const Result<int> sum = SumOfTwo(-1, -2);
  ASSERT_FALSE(sum);
  EXPECT_EQ(sum.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(sum.error().message(), "-1 is not positive");
}

}  // namespace
}  // namespace mdsa
