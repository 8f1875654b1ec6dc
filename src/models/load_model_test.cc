// What a load needs and leaves: memory, threads, files.
#include "models/load_model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <latch>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/free_memory.h"
#include "base/memory_probe.h"
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

TEST_F(LoadModelTest, NeedsAreDescribedWithoutALoad) {
  ModelConfig config = Config();
  config.quantization = QuantizationType::kInt8;
  const auto needs = DescribeLoad(config, {}, 3);
  ASSERT_TRUE(needs) << needs.error().ToString();
  EXPECT_EQ(needs->device, "cpu");
  EXPECT_EQ(needs->load_bytes, LoadBytes(*Checkpoint::Open(folder_.path()), config, 3).value());
  const auto model = loader_.Load(config).value();
  EXPECT_EQ(needs->call_bytes, model->call_bytes());
  EXPECT_EQ(needs->estimate.weights_bytes, model->description().weight_bytes);
  EXPECT_EQ(needs->estimate.mapped_bytes, model->mapped_bytes());
  config.quantization = QuantizationType::kNone;
  EXPECT_EQ(DescribeLoad(config, {}, 0)->estimate.mapped_bytes,
            loader_.Load(config).value()->mapped_bytes());
}

TEST_F(LoadModelTest, NeedsFailAsTheLoadDoes) {
  ModelConfig config = Config();
  ExpectError(DescribeLoad(config, {}, -1), ErrorCode::kInvalidArgument, {"model '", "threads"});
  config.device = "cuda:77";
  ExpectError(DescribeLoad(config, {}, 0), ErrorCode::kUnsupported, {"device 'cuda:77'"});
  config = Config();
  config.model_name = "nobody/knows-this-7b";  // estimates guess, this does not
  ExpectError(DescribeLoad(config, folder_.path(), 0), ErrorCode::kNotFound,
              {"model 'nobody/knows-this-7b'"});
  config = Config();
  folder_.Write("model.safetensors", test::Safetensors("{}", 0));
  const auto load = loader_.Load(config);
  ASSERT_FALSE(load);
  ExpectError(DescribeLoad(config, {}, 0), load.error().code(), {load.error().ToString()});
}

TEST_F(LoadModelTest, CallsOfTheModelArePaidByTheAccount) {
  struct Account final : MemoryAccount {
    Status Charge(std::uint64_t bytes, std::stop_token) override {
      charged += bytes;
      return {};
    }
    void Release(std::uint64_t bytes) noexcept override { released += bytes; }
    std::uint64_t charged = 0, released = 0;
  };
  const auto account = std::make_shared<Account>();
  const auto model = LoadModel(Config(), {}, {}, [] { return AvailableMemory(); }, account).value();
  const std::vector<TokenId> ids = {1, 5, 7};
  ASSERT_TRUE(model->Forward({1, 3, ids}));
  EXPECT_GT(account->charged, 0u);
  EXPECT_EQ(account->charged, account->released);
}

// A vocabulary of 30,000 entries in a tokenizer.json, beside a tiny model.
std::string LargeTokenizer() {
  std::string json = R"({"model":{"type":"BPE","merges":[],"vocab":{"a":0)";
  for (int i = 1; i < 30'000; ++i) json += fmt::format(R"(,"token{}":{})", i, i);
  return json + "}}}";
}

TEST_F(LoadModelTest, TheTokenizerIsForetold) {
  folder_.Write("tokenizer.json", LargeTokenizer());
  const auto needs = DescribeLoad(Config(), {}, 1);
  const auto model = loader_.Load(Config());
  ASSERT_TRUE(needs && model);
  const auto taken = static_cast<double>((*model)->tokenizer()->memory_bytes());
  EXPECT_GE(static_cast<double>(needs->estimate.tokenizer_bytes), taken);
  EXPECT_LE(static_cast<double>(needs->estimate.tokenizer_bytes), 1.4 * taken);
  EXPECT_GT(needs->load_bytes, needs->estimate.tokenizer_bytes);
}

TEST_F(LoadModelTest, LoadsAndUnloadsLeaveNoMemoryBehind) {
  if constexpr (test::kMemoryIsMeasurable) {
    folder_.Write("tokenizer.json", LargeTokenizer());
    const auto cycle = [&] {
      ASSERT_TRUE(loader_.Load(Config()));
      ReturnFreeMemory();
    };
    cycle();  // what the first load of a process sets up for good
    const std::size_t before = test::ProcessBytes("VmRSS");
    for (int i = 0; i < 10; ++i) cycle();
    EXPECT_LE(test::ProcessBytes("VmRSS"), before + before / 50 + 1'000'000);
  }
}

// The process, while it loads, takes no more than it was said.
TEST_F(LoadModelTest, ThePeakOfALoadIsForetold) {
  if constexpr (test::kMemoryIsMeasurable) {
    folder_.Write("tokenizer.json", LargeTokenizer());
    for (const auto quantization : {QuantizationType::kNone, QuantizationType::kInt8}) {
      ModelConfig config = Config();
      config.quantization = quantization;
      ASSERT_TRUE(loader_.Load(config));
      ReturnFreeMemory();
      const auto needs = DescribeLoad(config, {}, 0);
      const std::size_t before = test::ProcessBytes("VmRSS");
      test::ResetPeak();
      const auto model = loader_.Load(config);
      ASSERT_TRUE(needs && model);
      EXPECT_LE(test::ProcessBytes("VmHWM") - before, needs->estimate.peak_load_bytes);
    }
  }
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
