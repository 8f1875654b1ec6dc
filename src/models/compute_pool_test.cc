#include "models/compute_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "hardware/host.h"

namespace mdsa {
namespace {

using ::testing::HasSubstr;

class ComputePoolTest : public ::testing::Test {
 protected:
  ~ComputePoolTest() override { unsetenv("MDSA_NUM_THREADS"); }
  static void SetThreads(const char* value) { setenv("MDSA_NUM_THREADS", value, 1); }
};

TEST_F(ComputePoolTest, ReadsThreadCounts) {
  EXPECT_EQ(ParseThreadCount("1").value(), 1);
  EXPECT_EQ(ParseThreadCount("1024").value(), 1024);
  for (const char* text : {"", "0", "-1", "1025", "4 ", "4x", "four", "99999999999999999999"}) {
    EXPECT_EQ(ParseThreadCount(text).error().code(), ErrorCode::kInvalidArgument) << text;
  }
}

TEST_F(ComputePoolTest, IsSharedWhileAnyoneHoldsIt) {
  SetThreads("3");
  auto pool = SharedComputePool();
  ASSERT_TRUE(pool);
  EXPECT_EQ((*pool)->threads(), 3);
  SetThreads("2");
  EXPECT_EQ(SharedComputePool().value(), *pool);
  pool->reset();
  EXPECT_EQ(SharedComputePool().value()->threads(), 2);
}

TEST_F(ComputePoolTest, UsesTheCoresThatTheProcessMayUse) {
  EXPECT_EQ(SharedComputePool().value()->threads(), UsableCores());
}

TEST_F(ComputePoolTest, ABadVariableIsAnErrorThatNamesIt) {
  SetThreads("many");
  const auto pool = SharedComputePool();
  ASSERT_FALSE(pool);
  EXPECT_THAT(pool.error().ToString(),
              HasSubstr("MDSA_NUM_THREADS: a number of threads is from 1"));
}

}  // namespace
}  // namespace mdsa
