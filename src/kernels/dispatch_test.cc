#include "kernels/dispatch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "kernels/target_test_util.h"

namespace mdsa::kernels {
namespace {

class DispatchTest : public testing::Test {
 protected:
  void TearDown() override { unsetenv("MDSA_CPU_TARGET"); }

 private:
  TargetRestorer restorer_;
};

TEST_F(DispatchTest, SupportedTargetsEndWithPortable) {
  ASSERT_FALSE(SupportedTargets().empty());
  EXPECT_EQ(SupportedTargets().back(), "portable");
}

TEST_F(DispatchTest, SelectsEachSupportedTarget) {
  for (const std::string_view name : SupportedTargets()) {
    EXPECT_TRUE(SelectTarget(name));
    EXPECT_EQ(ActiveTarget(), name);
  }
}

TEST_F(DispatchTest, UnknownTargetIsAnInvalidArgumentAndChangesNothing) {
  ASSERT_TRUE(SelectTarget("portable"));
  for (const std::string_view name : {"", "AVX2", "avx512_bf16", "sse9"}) {
    const Status status = SelectTarget(name);
    ASSERT_FALSE(status) << name;
    EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(status.error().message(), testing::HasSubstr("portable, avx2, avx512"));
    EXPECT_EQ(ActiveTarget(), "portable");
  }
}

TEST_F(DispatchTest, TargetThatTheMachineLacksIsUnsupportedAndChangesNothing) {
  ASSERT_TRUE(SelectTarget("portable"));
  for (const std::string_view name : {"avx2", "avx512", "avx512_vnni"}) {
    if (std::ranges::find(SupportedTargets(), name) != SupportedTargets().end()) continue;
    const Status status = SelectTarget(name);
    ASSERT_FALSE(status) << name;
    EXPECT_EQ(status.error().code(), ErrorCode::kUnsupported);
    EXPECT_EQ(ActiveTarget(), "portable");
  }
}

TEST_F(DispatchTest, WrongEnvironmentTargetIsReported) {
  setenv("MDSA_CPU_TARGET", "z80", 1);
  const Status status = CheckEnvironmentTarget();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(status.error().ToString(),
              testing::AllOf(testing::HasSubstr("MDSA_CPU_TARGET"), testing::HasSubstr("z80")));
}

TEST_F(DispatchTest, MissingEmptyOrSupportedEnvironmentTargetIsFine) {
  EXPECT_TRUE(CheckEnvironmentTarget());
  for (const char* name : {"", "portable"}) {
    setenv("MDSA_CPU_TARGET", name, 1);
    EXPECT_TRUE(CheckEnvironmentTarget());
  }
}

// The override is read once, so it needs a process of its own.
TEST(DispatchDeathTest, EnvironmentOverridesTheBestTarget) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  setenv("MDSA_CPU_TARGET", "portable", 1);
  EXPECT_EXIT(std::exit(ActiveTarget() == "portable" ? 0 : 1), testing::ExitedWithCode(0), "");
  unsetenv("MDSA_CPU_TARGET");
}

}  // namespace
}  // namespace mdsa::kernels
