#include "engine/workspace.h"

#include <gtest/gtest.h>

#include <memory>

#include "engine/cpu_ops.h"

namespace mdsa::engine {
namespace {

ArchitectureConfig SmallLlama() {
  ArchitectureConfig config;
  config.family = ModelFamily::kLlama;
  config.hidden_size = 64;
  config.intermediate_size = 200;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 16;
  config.rotary_dim = 16;
  return config;
}

// The sizes of the kernels' own documentation, for every product of the family.
TEST(WorkspaceTest, HoldsTheScratchOfEveryOperation) {
  for (const int threads : {1, 3}) {
    const auto ops = MakeCpuOps(std::make_shared<ThreadPool>(threads));
    for (const std::int64_t rows : {1, 37, 512}) {
      const auto space = Workspace::Create(*ops, SmallLlama(), rows);
      ASSERT_TRUE(space);
      for (const std::int64_t cols : {64, 200}) {
        EXPECT_GE(space->scratch.size(), kernels::MatMulScratchBytes(rows, cols, threads));
      }
      EXPECT_GE(space->scratch.size(), kernels::AttentionScratchBytes(rows, 4, 2, 16, threads));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(space->scratch.data()) % 64, 0u);
    }
  }
}

TEST(WorkspaceTest, ScratchThatTheSystemRefusesIsAnError) {
  const auto ops = MakeCpuOps(std::make_shared<ThreadPool>(2));
  for (const std::int64_t head_dim : {std::int64_t{1} << 38, std::int64_t{1} << 56}) {
    ArchitectureConfig config = SmallLlama();
    config.head_dim = head_dim;
    const auto space = Workspace::Create(*ops, config, 1);
    ASSERT_FALSE(space);
    EXPECT_EQ(space.error().code(), ErrorCode::kResourceExhausted);
  }
}

}  // namespace
}  // namespace mdsa::engine
