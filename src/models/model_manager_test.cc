#include "mdsa/model_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "support/tiny_llama.h"

namespace mdsa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The public class over the real loader and engine; concurrency is tested in manager_state_test.
class ModelManagerTest : public ::testing::Test {
 protected:
  ModelManagerTest() { test::WriteTinyLlama(folder_); }

  ModelConfig Config() const {
    ModelConfig config = ModelConfig::ForTier3(folder_.path().string());
    config.quantization = QuantizationType::kBFloat16;
    return config;
  }

  test::TemporaryFolder folder_;
};

TEST_F(ModelManagerTest, DefaultsAndLimits) {
  const auto manager = ModelManager::Create();
  ASSERT_TRUE(manager);
  const RegistryStats stats = (*manager)->GetStats();
  EXPECT_EQ(stats.models_loaded, 0);
  EXPECT_EQ(stats.max_models, 10);
  EXPECT_EQ(ModelManager::Create(0).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(ModelManagerTest, CacheDirReachesTheLoader) {
  ModelManager::Options options;
  options.cache_dir = "/some/where";
  EXPECT_EQ(ModelManager::Create(options).value()->loader().cache_dir(), "/some/where");
}

TEST_F(ModelManagerTest, LoadsMeasuresEvictsAndReloads) {
  const auto manager = ModelManager::Create(1).value();
  const auto first = manager->GetOrLoad("first", Config());
  ASSERT_TRUE(first) << first.error().ToString();
  EXPECT_TRUE(manager->IsLoaded("first"));
  {
    const auto info = manager->GetInfo("first");
    ASSERT_TRUE(info);
    EXPECT_EQ(info->use_count, 1);
    EXPECT_EQ(info->memory_mb, static_cast<double>(info->model->memory_bytes()) / 1e6);
    EXPECT_GT(info->memory_mb, 0);
  }
  EXPECT_FALSE(manager->GetInfo("other"));
  EXPECT_EQ(first->description().family, "llama");
  EXPECT_EQ(first->description().quantization, "bfloat16");

  ASSERT_TRUE(manager->GetOrLoad("second", Config()));
  EXPECT_THAT(manager->ListModels(), ElementsAre("second"));

  GenerationOptions options;
  options.max_new_tokens = 2;
  options.min_new_tokens = 2;
  const std::vector<TokenId> prompt = {1};
  const auto answer = first->Generate(prompt, options);  // comes back by itself
  ASSERT_TRUE(answer) << answer.error().ToString();
  EXPECT_EQ(answer->ids.size(), 2u);
  EXPECT_THAT(manager->ListModels(), ElementsAre("first"));

  EXPECT_TRUE(manager->Unload("first")->known);
  EXPECT_EQ(first->Generate(prompt, options).error().code(), ErrorCode::kFailedPrecondition);
  manager->ClearAll();
  EXPECT_THAT(manager->ListModels(), IsEmpty());
}

TEST_F(ModelManagerTest, AFailedLoadRegistersNothingAndHarmsNobody) {
  const auto manager = ModelManager::Create(1).value();
  ASSERT_TRUE(manager->GetOrLoad("good", Config()));
  ModelConfig bad = Config();
  bad.model_name = "/no/such/model";
  EXPECT_EQ(manager->GetOrLoad("bad", bad).error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(manager->ListModels(), ElementsAre("good"));
}

TEST_F(ModelManagerTest, DamagedCheckpointsHarmNobody) {
  ModelManager::Options manager_options;
  manager_options.residency.max_models = 2;
  manager_options.residency.retry_delay = std::chrono::nanoseconds(0);
  const auto manager = ModelManager::Create(manager_options).value();
  const auto good = manager->GetOrLoad("good", Config());
  ASSERT_TRUE(good);
  const test::TemporaryFolder damaged;
  ModelConfig config = Config();
  config.model_name = damaged.path().string();
  const auto code = [&] {
    const auto handle = manager->GetOrLoad("damaged", config);
    EXPECT_FALSE(handle);
    return handle ? ErrorCode::kInternal : handle.error().code();
  };
  test::WriteTinyLlama(damaged);
  const auto weights = damaged.path() / "model.safetensors";
  damaged.Write("tokenizer.json", R"({"model": 7})");
  EXPECT_EQ(code(), ErrorCode::kInvalidFormat);
  std::filesystem::remove(damaged.path() / "tokenizer.json");
  std::filesystem::resize_file(weights, std::filesystem::file_size(weights) - 4);
  EXPECT_EQ(code(), ErrorCode::kInvalidFormat);
  std::filesystem::remove(weights);
  damaged.Write("model.safetensors.index.json",
                R"({"weight_map":{"norm.weight":"model-00001-of-00001.safetensors"}})");
  EXPECT_EQ(code(), ErrorCode::kNotFound);

  EXPECT_THAT(manager->ListModels(), ElementsAre("good"));
  GenerationOptions options;
  options.max_new_tokens = 1;
  EXPECT_TRUE(good->Generate(std::vector<TokenId>{1}, options));
}

TEST_F(ModelManagerTest, EveryCallOfAHandleReachesTheModel) {
  auto manager = ModelManager::Create(1).value();
  const auto handle = manager->GetOrLoad("m", Config());
  ASSERT_TRUE(handle);
  {
    const auto lease = handle->Lease();
    EXPECT_EQ(handle->memory_bytes(), (**lease).memory_bytes());
  }
  const std::vector<TokenId> ids = {1, 2, 3};
  ForwardInput input;
  input.batch = 1;
  input.tokens = 3;
  input.input_ids = ids;
  const auto output = handle->Forward(input);
  ASSERT_TRUE(output) << output.error().ToString();
  EXPECT_THAT(output->logits->shape, ElementsAre(1, 3, 12));
  // A bare Llama without a tokenizer refuses the others, in the model's own words.
  const std::vector<std::string> texts = {"a"};
  EXPECT_FALSE(handle->Embed(texts));
  EXPECT_FALSE(handle->Classify(texts));
  EXPECT_FALSE(handle->GenerateText("a", {}));
  EXPECT_FALSE(handle->Chat({}, {}));
  EXPECT_EQ(manager->GetInfo("m")->use_count, 7);  // the load and six calls

  manager.reset();
  EXPECT_EQ(handle->Forward(input).error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_EQ(handle->Embed(texts).error().code(), ErrorCode::kFailedPrecondition);
}

TEST_F(ModelManagerTest, AForcedUnloadEndsTheCallsInProgressWithATypedError) {
  const auto manager = ModelManager::Create(1).value();
  const auto handle = manager->GetOrLoad("m", Config());
  ASSERT_TRUE(handle);
  GenerationOptions options;
  options.max_new_tokens = options.min_new_tokens = 8;
  UnloadOptions force;
  force.force = true;
  int tokens = 0;
  const auto answer = handle->Generate(std::vector<TokenId>{1}, options, {}, [&](TokenId) {
    if (++tokens == 2) {
      EXPECT_TRUE(manager->Unload("m", force));  // from within the call it does not wait
    }
    return true;
  });
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), ErrorCode::kCancelled);
  EXPECT_THAT(answer.error().ToString(), HasSubstr("model 'm' was unloaded by force"));
  EXPECT_LT(tokens, 8);
  EXPECT_EQ(manager->Metrics().devices[0].reserved_bytes, 0u);
}

TEST_F(ModelManagerTest, AnUnloadFromWithinACallLetsItFinish) {
  const auto manager = ModelManager::Create(1).value();
  const auto handle = manager->GetOrLoad("m", Config());
  ASSERT_TRUE(handle);
  GenerationOptions options;
  options.max_new_tokens = options.min_new_tokens = 4;
  const auto answer = handle->Generate(std::vector<TokenId>{1}, options, {}, [&](TokenId) {
    EXPECT_TRUE(manager->Unload("m"));
    return true;
  });
  ASSERT_TRUE(answer) << answer.error().ToString();
  EXPECT_EQ(answer->ids.size(), 4u);
  EXPECT_EQ(manager->Metrics().devices[0].reserved_bytes, 0u);
  EXPECT_FALSE(handle->Generate(std::vector<TokenId>{1}, options));
}

TEST_F(ModelManagerTest, ACallerThatStopsIsNotAnUnloadByForce) {
  const auto manager = ModelManager::Create(1).value();
  const auto handle = manager->GetOrLoad("m", Config());
  ASSERT_TRUE(handle);
  std::stop_source stop;
  GenerationOptions options;
  options.max_new_tokens = options.min_new_tokens = 8;
  const auto answer = handle->Generate(
      std::vector<TokenId>{1}, options, {},
      [&](TokenId) {
        stop.request_stop();
        return true;
      },
      stop.get_token());
  ASSERT_TRUE(answer) << answer.error().ToString();
  EXPECT_EQ(answer->finish_reason, FinishReason::kCancelled);
}

TEST_F(ModelManagerTest, ALoadedModelHoldsWhatItMeasuresAndRoomForACall) {
  ModelManager::Options options;
  options.residency.max_memory = MemoryLimit::Bytes(50'000'000);
  const auto manager = ModelManager::Create(options).value();
  const auto handle = manager->GetOrLoad("m", Config());
  ASSERT_TRUE(handle);
  const ResidencyMetrics metrics = manager->Metrics();
  ASSERT_EQ(metrics.models.size(), 1u);
  // This model is all alignment and tables: a few pages.
  EXPECT_NEAR(static_cast<double>(metrics.models[0].estimated_bytes),
              static_cast<double>(metrics.models[0].measured_bytes), 16384.0);
  EXPECT_EQ(metrics.models[0].measured_bytes, handle->memory_bytes());
  EXPECT_EQ(metrics.devices[0].reserved_bytes,
            metrics.models[0].measured_bytes + metrics.models[0].call_bytes);
  EXPECT_EQ(metrics.evictions[static_cast<std::size_t>(EvictionReason::kUnderestimate)], 0u);
  // An ordinary call needs no more than what is kept for it.
  GenerationOptions generation;
  generation.max_new_tokens = generation.min_new_tokens = 4;
  std::uint64_t during = 0;
  ASSERT_TRUE(handle->Generate(std::vector<TokenId>{1}, generation, {}, [&](TokenId) {
    during = manager->Metrics().devices[0].reserved_bytes;
    return true;
  }));
  EXPECT_EQ(during, metrics.devices[0].reserved_bytes);
}

TEST_F(ModelManagerTest, AModelThatExceedsTheLimitIsRefusedBeforeItIsLoaded) {
  ModelManager::Options options;
  options.residency.max_memory = MemoryLimit::Bytes(1000);
  const auto manager = ModelManager::Create(options).value();
  const auto refused = manager->GetOrLoad("m", Config());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(manager->Metrics().devices[0].peak_bytes, 0u);
}

TEST_F(ModelManagerTest, DeclaredModelsArePreloadedAndFailuresAreListed) {
  ConfigFile file;
  file.residency.max_models = 3;
  DeclaredModel good;
  good.id = "good";
  good.config = Config();
  good.preload = true;
  DeclaredModel bad = good;
  bad.id = "bad";
  bad.config.model_name = "/no/such/model";
  bad.required = true;
  DeclaredModel later = good;
  later.id = "later";
  later.preload = false;
  later.settings.pinned = true;
  file.models = {good, bad, later};
  const auto manager = ModelManager::Create(file).value();
  EXPECT_THAT(manager->ListModels(), IsEmpty());
  const auto results = manager->Preload();
  ASSERT_EQ(results.size(), 2u);
  for (const auto& result : results) {
    EXPECT_EQ(result.status.has_value(), result.model_id == "good");
    EXPECT_EQ(result.required, result.model_id == "bad");
  }
  EXPECT_THAT(manager->ListModels(), ElementsAre("good"));
  EXPECT_TRUE(manager->settings("later").pinned);
  EXPECT_TRUE(manager->GetOrLoad("later"));
  EXPECT_EQ(manager->GetOrLoad("nobody").error().code(), ErrorCode::kNotFound);
}

TEST_F(ModelManagerTest, ASubscriptionEndsWithItsObject) {
  const auto manager = ModelManager::Create(1).value();
  std::atomic<int> heard = 0;
  {
    auto subscription = manager->Subscribe([&](const ModelEvent&) { ++heard; });
    const EventSubscription moved = std::move(subscription);
    ASSERT_TRUE(manager->GetOrLoad("m", Config()));
    EXPECT_GT(heard, 0);
  }
  const int before = heard;
  EXPECT_TRUE(manager->Unload("m"));
  EXPECT_EQ(heard, before);
}

}  // namespace
}  // namespace mdsa
