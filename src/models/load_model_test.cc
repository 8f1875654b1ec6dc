// What a load needs and leaves: memory, threads, files.
#include "models/load_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <latch>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include "models/checkpoint.h"
#include "models/memory_estimate.h"
#include "support/tiny_llama.h"

namespace mdsa {
namespace {

using test::ExpectError;

std::ptrdiff_t Count(const char* path, bool lines) {
  if (!lines) {
    return std::distance(std::filesystem::directory_iterator(path),
                         std::filesystem::directory_iterator());
  }
  std::ifstream file(path);
  return std::count(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>(), '\n');
}

class LoadModelTest : public ::testing::Test {
 protected:
  void SetUp() override { test::WriteTinyLlama(folder_); }

  ModelConfig Config() const {
    ModelConfig config = ModelConfig::ForTier3(folder_.path().string());
    config.quantization = QuantizationType::kNone;
    return config;
  }

  test::TemporaryFolder folder_;
  ModelLoader loader_;
};

TEST_F(LoadModelTest, AModelThatDoesNotFitIsRefusedBeforeItIsAllocated) {
  ModelConfig config = Config();
  config.quantization = QuantizationType::kInt8;
  const auto checkpoint = Checkpoint::Open(folder_.path());
  ASSERT_TRUE(checkpoint);
  LoadOptions options;
  options.threads = 3;
  const std::uint64_t needed = LoadBytes(*checkpoint, config, 3).value();
  std::optional<std::uint64_t> free = needed - 1;
  const auto available = [&] { return free; };
  ExpectError(
      LoadModel(config, options, {}, available), ErrorCode::kResourceExhausted,
      {"model '", "Insufficient memory: the model needs about", "MB are available", "int4"});
  for (const std::optional<std::uint64_t> enough : {std::optional(needed), {}}) {
    free = enough;
    EXPECT_TRUE(LoadModel(config, options, {}, available));
  }
}

TEST_F(LoadModelTest, MappedWeightsNeedNoFreeMemory) {
  const auto checkpoint = Checkpoint::Open(folder_.path());
  ASSERT_TRUE(checkpoint);
  ModelConfig config = Config();
  // Five norms of 8 values, each padded to 64 bytes, remain.
  EXPECT_EQ(LoadBytes(*checkpoint, config, 1).value(), 5u * 64);
  config.quantization = QuantizationType::kBFloat16;
  EXPECT_GT(LoadBytes(*checkpoint, config, 1).value(),
            loader_.EstimateMemory(config)->weights_bytes);
}

TEST_F(LoadModelTest, TheMemoryOfThisMachineIsKnown) {
  EXPECT_GT(AvailableMemory().value_or(0), 1'000'000u);
}

TEST_F(LoadModelTest, TwoLoadsAtOnceGiveTheSameModel) {
  ModelConfig config = Config();
  config.quantization = QuantizationType::kInt8;
  std::vector<std::shared_ptr<Model>> models(4);
  {
    std::latch all_ready(4);
    std::vector<std::jthread> threads;
    for (auto& model : models) {
      threads.emplace_back([&] {
        all_ready.arrive_and_wait();
        model = loader_.Load(config).value();
      });
    }
  }
  const std::vector<TokenId> ids = {1, 5, 7};
  const auto logits = [&](const std::shared_ptr<Model>& model) {
    return model->Forward({1, 3, ids})->logits->values;
  };
  for (const auto& model : models) EXPECT_EQ(logits(model), logits(models.front()));
}

TEST_F(LoadModelTest, AProgressCallbackThatThrowsEndsTheLoad) {
  for (const std::string_view phase : {"read", "convert"}) {
    LoadOptions options;
    options.on_progress = [&](const LoadProgress& progress) {
      if (progress.phase == phase) throw std::runtime_error("no terminal");
    };
    ExpectError(loader_.Load(Config(), options), ErrorCode::kInternal, {"model '", "no terminal"});
  }
}

TEST_F(LoadModelTest, FailedLoadsLeaveNeitherFilesNorMapsBehind) {
  folder_.Write("tokenizer.json", "{");
  const auto fail = [&] { EXPECT_FALSE(loader_.Load(Config())); };
  fail();  // what the first load of a process sets up for good
  const auto files = Count("/proc/self/fd", false);
  const auto maps = Count("/proc/self/maps", true);
  constexpr int kLoads = 200;
  for (int i = 0; i < kLoads; ++i) fail();
  EXPECT_EQ(Count("/proc/self/fd", false), files);
  // The heap may grow, under a sanitizer by many maps, but not by one with each load.
  EXPECT_LT(Count("/proc/self/maps", true), maps + kLoads / 2);
}

}  // namespace
}  // namespace mdsa
