// Expected numbers: transformers 5.23, ROPE_INIT_FUNCTIONS, for head_dim 8 and theta 10000.
#include "engine/rope.h"

#include <gtest/gtest.h>

#include "support/tiny_model.h"

namespace mdsa::engine {
namespace {

using Type = RopeScaling::Type;

ArchitectureConfig Config(Type type, double factor) {
  ArchitectureConfig config = testing::TinyLlamaConfig();
  config.rotary_dim = 8;
  config.max_position_embeddings = 64;
  config.rope_scaling.type = type;
  config.rope_scaling.factor = factor;
  config.rope_scaling.original_max_position_embeddings = 32;
  return config;
}

void ExpectFrequencies(const ArchitectureConfig& config, std::int64_t length,
                       const std::vector<float>& expected) {
  const std::vector<float> found = ComputeRopeFrequencies(config, length).inverse;
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i] / expected[i], 1.0f, 3e-7f);
}

TEST(RopeTest, Linear) {
  const ArchitectureConfig config = Config(Type::kLinear, 2.5);
  ExpectFrequencies(config, 0, {0.400000006f, 0.0399999991f, 0.00399999972f, 0.000400000019f});
}

TEST(RopeTest, DynamicWithinTheTrainedContext) {
  const ArchitectureConfig config = Config(Type::kDynamic, 3.0);
  ExpectFrequencies(config, 50, {1.0f, 0.100000001f, 0.00999999978f, 0.00100000005f});
}

TEST(RopeTest, DynamicBeyondIt) {
  const ArchitectureConfig config = Config(Type::kDynamic, 3.0);
  ExpectFrequencies(config, 150, {1.0f, 0.0583590269f, 0.00340577564f, 0.000198757771f});
}

TEST(RopeTest, Llama3) {
  const ArchitectureConfig config = Config(Type::kLlama3, 8.0);
  ExpectFrequencies(config, 0, {1.0f, 0.0125000002f, 0.00124999997f, 0.000125000006f});
}

TEST(RopeTest, Yarn) {
  const ArchitectureConfig config = Config(Type::kYarn, 4.0);
  ExpectFrequencies(config, 0, {1.0f, 0.0250000004f, 0.00249999994f, 0.000250000012f});
  EXPECT_NEAR(ComputeRopeFrequencies(config, 0).scale, 1.13862944f, 1e-6f);
}

TEST(RopeTest, YarnWithAllOptions) {
  ArchitectureConfig config = Config(Type::kYarn, 4.0);
  config.rope_scaling.beta_fast = 8.0;
  config.rope_scaling.beta_slow = 2.0;
  config.rope_scaling.mscale = 0.7;
  config.rope_scaling.mscale_all_dim = 1.3;
  config.rope_scaling.truncate = false;
  ExpectFrequencies(config, 0, {1.0f, 0.0250000004f, 0.00249999994f, 0.000250000012f});
  EXPECT_NEAR(ComputeRopeFrequencies(config, 0).scale, 0.929523492f, 1e-6f);
}

TEST(RopeTest, YarnWithAttentionFactor) {
  ArchitectureConfig config = Config(Type::kYarn, 4.0);
  config.rope_scaling.attention_factor = 0.7;
  ExpectFrequencies(config, 0, {1.0f, 0.0250000004f, 0.00249999994f, 0.000250000012f});
  EXPECT_NEAR(ComputeRopeFrequencies(config, 0).scale, 0.7f, 1e-6f);
}

TEST(RopeTest, ContextIsStretchedByLinearAndDynamicScalingOnly) {
  EXPECT_EQ(ContextLength(Config(Type::kNone, 1.0)), 64);
  EXPECT_EQ(ContextLength(Config(Type::kLinear, 2.5)), 160);
  EXPECT_EQ(ContextLength(Config(Type::kDynamic, 4.0)), 256);
  EXPECT_EQ(ContextLength(Config(Type::kLlama3, 8.0)), 64);
  EXPECT_EQ(ContextLength(Config(Type::kYarn, 4.0)), 64);
  EXPECT_EQ(ContextLength(Config(Type::kDynamic, 1e30)), 2147483647);
}

}  // namespace
}  // namespace mdsa::engine
