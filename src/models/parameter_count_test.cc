#include "models/parameter_count.h"

#include <gtest/gtest.h>

namespace mdsa {
namespace {

TEST(ParameterCountTest, ReadsTheSizeThatANameStates) {
  const struct {
    const char* name;
    std::int64_t parameters;
  } cases[] = {
      {"meta-llama/Llama-2-7b-hf", 7'000'000'000},
      {"meta-llama/Llama-2-13b-chat", 13'000'000'000},
      {"HuggingFaceTB/SmolLM2-135M-Instruct", 135'000'000},
      {"Qwen/Qwen1.5-1.8B", 1'800'000'000},
      {"mistralai/Mixtral-8x7B-v0.1", 56'000'000'000},
      {"TinyLlama-1.1B", 1'100'000'000},
      {"7B", 7'000'000'000},
  };
  for (const auto& sized : cases) {
    EXPECT_EQ(ParameterCountInName(sized.name), sized.parameters) << sized.name;
  }
}

TEST(ParameterCountTest, OtherNumbersAreNoSizes) {
  for (const char* name : {"", "gpt2", "model-4bit", "v0.1", "phi-1_5", "all-MiniLM-L6-v2", "7",
                           "b7", "0b", "8xB", "9999999999999999999b", "a7b", "1.b", "7b2"}) {
    EXPECT_EQ(ParameterCountInName(name), std::nullopt) << name;
  }
}

TEST(ParameterCountTest, EveryNameGetsAGuess) {
  EXPECT_EQ(GuessParameterCount(kDefaultTier1Model, ModelTier::kTier3), 67'000'000);
  EXPECT_EQ(GuessParameterCount(kDefaultTier2Model, ModelTier::kTier3), 1'300'000'000);
  EXPECT_EQ(GuessParameterCount("gpt2", ModelTier::kTier1), 124'000'000);
  EXPECT_EQ(GuessParameterCount("x-3b", ModelTier::kTier1), 3'000'000'000);
  EXPECT_EQ(GuessParameterCount("x", ModelTier::kTier1), 67'000'000);
  EXPECT_EQ(GuessParameterCount("x", ModelTier::kTier2), 1'300'000'000);
  EXPECT_EQ(GuessParameterCount("x", ModelTier::kTier3), 7'000'000'000);
}

}  // namespace
}  // namespace mdsa
