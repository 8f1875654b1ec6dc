#include "mdsa/model_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "models/cache_dir.h"
#include "support/tiny_llama.h"

namespace mdsa {
namespace {

using test::ExpectError;
using ::testing::HasSubstr;

// Sets an environment variable for the time of a scope.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    if (value != nullptr) {
      setenv(name, value, 1);
    } else {
      unsetenv(name);
    }
  }
  ~ScopedVariable() {
    if (old_) {
      setenv(name_, old_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

class ModelLoaderTest : public ::testing::Test {
 protected:
  // No cache of this machine is looked at.
  ScopedVariable hub_{"HF_HUB_CACHE", "/nonexistent"};
  test::TemporaryFolder folder_;
  ModelLoader loader_{folder_.path() / "cache"};

  ModelConfig Config() const {
    ModelConfig config = ModelConfig::ForTier3(folder_.path().string());
    config.quantization = QuantizationType::kNone;
    config.max_length = 32;
    return config;
  }
};

TEST_F(ModelLoaderTest, LoadsAndComputes) {
  test::WriteTinyLlama(folder_);
  const auto model = loader_.Load(Config());
  ASSERT_TRUE(model) << model.error().ToString();
  EXPECT_EQ((*model)->description().family, "llama");
  EXPECT_EQ((*model)->description().context_length, 32);  // capped by max_length
  EXPECT_EQ((*model)->tokenizer(), nullptr);              // the folder has none
  GenerationOptions options;
  options.max_new_tokens = 4;
  options.eos_token_ids = {11};
  options.min_new_tokens = 4;
  const std::vector<TokenId> prompt = {1, 2};
  const auto answer = (*model)->Generate(prompt, options);
  ASSERT_TRUE(answer) << answer.error().ToString();
  EXPECT_EQ(answer->ids.size(), 4u);
}

TEST_F(ModelLoaderTest, FindsAHubIdInItsCache) {
  test::WriteTinyLlama(folder_, "cache/models--org--tiny/snapshots/abc/");
  folder_.Write("cache/models--org--tiny/refs/main", "abc");
  ModelConfig config = Config();
  config.model_name = "org/tiny";
  EXPECT_TRUE(loader_.Load(config));
  EXPECT_FALSE(loader_.EstimateMemory(config)->approximate);

  const ModelLoader elsewhere(folder_.path() / "empty");
  ExpectError(elsewhere.Load(config), ErrorCode::kNotFound,
              {"model 'org/tiny'", "models--org--tiny"});
  config.cache_dir = (folder_.path() / "cache").string();
  EXPECT_TRUE(elsewhere.Load(config));  // the config's own cache comes first
}

TEST_F(ModelLoaderTest, ReportsProgressThatNeverFalls) {
  test::WriteTinyLlama(folder_);
  std::vector<LoadProgress> reports;
  LoadOptions options;
  options.threads = 1;
  options.on_progress = [&](const LoadProgress& progress) { reports.push_back(progress); };
  ASSERT_TRUE(loader_.Load(Config(), options));
  ASSERT_GE(reports.size(), 2u);
  EXPECT_EQ(reports.front().phase, "read");
  EXPECT_EQ(reports.front().bytes_done, 0u);
  EXPECT_EQ(reports.back().phase, "convert");
  EXPECT_EQ(reports.back().bytes_done, reports.back().bytes_total);
  for (std::size_t i = 1; i < reports.size(); ++i) {
    EXPECT_GE(reports[i].bytes_done, reports[i - 1].bytes_done);
  }
}

TEST_F(ModelLoaderTest, ErrorsNameModelAndFile) {
  ModelConfig config = Config();
  ExpectError(loader_.Load(config), ErrorCode::kNotFound,
              {"model '" + config.model_name, "has no weights"});
  folder_.Write("model.safetensors", test::Safetensors("{}", 0));
  ExpectError(loader_.Load(config), ErrorCode::kNotFound, {"model '", "config.json"});

  folder_.Write("config.json", test::kTinyLlamaConfig);
  ExpectError(loader_.Load(config), ErrorCode::kInvalidFormat,
              {"model '", folder_.path().string(), "is missing from the checkpoint"});
}

TEST_F(ModelLoaderTest, RefusesBadArgumentsBeforeItOpensAnything) {
  ModelConfig config = Config();
  config.max_length = 0;
  ExpectError(loader_.Load(config), ErrorCode::kInvalidArgument, {"model '", "max_length"});
  config = Config();
  LoadOptions options;
  options.threads = -1;
  ExpectError(loader_.Load(config, options), ErrorCode::kInvalidArgument, {"threads"});
  config.device = "mps";
  ExpectError(loader_.Load(config), ErrorCode::kUnsupported, {"device 'mps'", "supported are"});
  config.device = "cuda:77";
  ExpectError(loader_.Load(config), ErrorCode::kUnsupported, {"device 'cuda:77'", "supported are"});
}

TEST_F(ModelLoaderTest, BadEnvironmentIsReported) {
  test::WriteTinyLlama(folder_);
  {
    const ScopedVariable threads("MDSA_NUM_THREADS", "lots");
    ExpectError(loader_.Load(Config()), ErrorCode::kInvalidArgument, {"MDSA_NUM_THREADS", "lots"});
  }
  const ScopedVariable target("MDSA_CPU_TARGET", "z80");
  ExpectError(loader_.Load(Config()), ErrorCode::kInvalidArgument, {"MDSA_CPU_TARGET", "z80"});
}

TEST_F(ModelLoaderTest, AStopBeforeOrDuringTheLoadCancelsIt) {
  test::WriteTinyLlama(folder_);
  std::stop_source stop;
  LoadOptions options;
  options.threads = 1;
  options.stop = stop.get_token();
  options.on_progress = [&](const LoadProgress&) { stop.request_stop(); };
  ExpectError(loader_.Load(Config(), options), ErrorCode::kCancelled, {"model '"});
  options.on_progress = nullptr;
  ExpectError(loader_.Load(Config(), options), ErrorCode::kCancelled, {"model '"});
}

TEST_F(ModelLoaderTest, EstimatesFromTheHeaders) {
  test::WriteTinyLlama(folder_);
  ModelConfig config = Config();
  const auto none = loader_.EstimateMemory(config);
  ASSERT_TRUE(none) << none.error().ToString();
  EXPECT_FALSE(none->approximate);
  // By hand: two embeddings 12 x 8; a layer has q and o 8 x 8, k and v 4 x 8, three 16 x 8, and two
  // norms of 8; a last norm of 8. All fp32.
  EXPECT_EQ(none->weights_bytes, 4u * (2 * 96 + 2 * (64 + 64 + 32 + 32 + 3 * 128 + 16) + 8));
  EXPECT_EQ(none->kv_bytes_per_token, 2u * 2 * 1 * 4 * 4);  // k and v, layers, heads, dims, fp32
  EXPECT_EQ(none->kv_bytes, 32 * none->kv_bytes_per_token);
  EXPECT_GT(none->scratch_bytes, 0u);
  EXPECT_GT(none->peak_load_bytes, none->weights_bytes);
  EXPECT_EQ(none->resident_bytes(),
            none->weights_bytes + none->tokenizer_bytes + none->kv_bytes + none->scratch_bytes);
  EXPECT_EQ(none->tokenizer_bytes, 0u);  // the folder has none

  config.quantization = QuantizationType::kBFloat16;
  const auto bfloat16 = loader_.EstimateMemory(config);
  config.quantization = QuantizationType::kInt8;
  const auto int8 = loader_.EstimateMemory(config);
  ASSERT_TRUE(bfloat16 && int8);
  EXPECT_LT(bfloat16->weights_bytes, none->weights_bytes);
  EXPECT_LT(int8->weights_bytes, bfloat16->weights_bytes);

  config.max_length = 1 << 30;  // the model's context has 64 tokens
  EXPECT_EQ(loader_.EstimateMemory(config)->kv_bytes, 64 * none->kv_bytes_per_token);
}

TEST_F(ModelLoaderTest, TheEstimateIsWhatALoadMeasures) {
  test::WriteTinyLlama(folder_);
  for (const auto quantization :
       {QuantizationType::kNone, QuantizationType::kBFloat16, QuantizationType::kInt8}) {
    ModelConfig config = Config();
    config.quantization = quantization;
    const auto estimate = loader_.EstimateMemory(config);
    const auto model = loader_.Load(config);
    ASSERT_TRUE(estimate && model);
    EXPECT_EQ(estimate->weights_bytes, (*model)->description().weight_bytes)
        << QuantizationTypeName(quantization);
  }
}

TEST_F(ModelLoaderTest, AnEncoderNeedsRoomForItsLongestTextInOnePass) {
  const std::string config =
      R"({"model_type":"bert","architectures":["BertModel"],"hidden_size":8,"intermediate_size":16,)"
      R"("num_hidden_layers":1,"num_attention_heads":2,"vocab_size":12,)"
      R"("max_position_embeddings":2048,"type_vocab_size":2})";
  folder_.Write("config.json", config);
  folder_.Write("model.safetensors", test::TinyWeights(ParseHfConfig(config).value()));
  const auto scratch = [&](std::int64_t tokens, std::int64_t batch) {
    ModelConfig model = Config();
    model.max_length = tokens;
    model.batch_size = batch;
    return loader_.EstimateMemory(model).value().scratch_bytes;
  };
  // Beside a part per thread, it grows with the longest text.
  EXPECT_EQ(scratch(2048, 1) - scratch(1024, 1), 2 * (scratch(1024, 1) - scratch(512, 1)));
  EXPECT_GT(scratch(2048, 1), 2048u * 4 * (2 * 8 + 2 * 8 + 2 * 8 + 16));
  EXPECT_EQ(scratch(2048, 7), scratch(2048, 1));
  EXPECT_EQ(scratch(512, 7), scratch(512, 1));
}

TEST_F(ModelLoaderTest, EstimatesOfBrokenCheckpointsAreErrors) {
  ModelConfig config = Config();
  folder_.Write("config.json", test::kTinyLlamaConfig);
  folder_.Write("model.safetensors", test::Safetensors("{}", 0));
  ExpectError(loader_.EstimateMemory(config), ErrorCode::kInvalidFormat,
              {"model '", "tensor 'embed_tokens.weight' [12, 8] is missing"});
  folder_.Write(
      "model.safetensors",
      test::Safetensors(
          R"({"model.embed_tokens.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
          R"("model.norm.weight":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",
          16));
  ExpectError(loader_.EstimateMemory(config), ErrorCode::kInvalidFormat,
              {"model.embed_tokens.weight", "[2]", "[12, 8]"});
  config.model_name = "/no/such/folder";
  ExpectError(loader_.EstimateMemory(config), ErrorCode::kNotFound, {"/no/such/folder"});
  config.model_name = "missing.gguf";
  ExpectError(loader_.EstimateMemory(config), ErrorCode::kNotFound, {"missing.gguf"});
}

// The estimates that the project's first description promises, for models that are not at hand.
class ApproximateEstimateTest : public ModelLoaderTest {
 protected:
  double Megabytes(ModelConfig config) {
    const auto estimate = loader_.EstimateMemory(config);
    EXPECT_TRUE(estimate) << config.model_name;
    if (!estimate) return -1;
    EXPECT_TRUE(estimate->approximate);
    return estimate->total_mb();
  }
  double Megabytes(ModelConfig config, QuantizationType quantization) {
    config.quantization = quantization;
    return Megabytes(std::move(config));
  }
};

TEST_F(ApproximateEstimateTest, Tier1IsAbout250) {
  EXPECT_NEAR(Megabytes(ModelConfig::ForTier1()), 250, 25);
}

TEST_F(ApproximateEstimateTest, Tier2IsHalvedByInt8) {
  const ModelConfig config = ModelConfig::ForTier2();
  const double none = Megabytes(config, QuantizationType::kNone);
  // 1.3 billion parameters of 2 bytes: an estimate below what the file holds would be of no use.
  EXPECT_NEAR(none, 2600, 100);
  EXPECT_NEAR(Megabytes(config, QuantizationType::kInt8), none / 2, 1);
}

TEST_F(ApproximateEstimateTest, SevenBillionParameters) {
  const ModelConfig config = ModelConfig::ForTier3("meta-llama/Llama-2-7b-hf");
  EXPECT_NEAR(Megabytes(config, QuantizationType::kNone), 14'000, 100);
  EXPECT_NEAR(Megabytes(config, QuantizationType::kInt4), 3'500, 100);
}

TEST_F(ApproximateEstimateTest, AMereNameGetsAGuess) {
  ModelConfig config = ModelConfig::ForTier1("gpt2");
  const double none = Megabytes(config, QuantizationType::kNone);
  EXPECT_GT(none, 0);
  EXPECT_LT(none, 10'000);
  EXPECT_LT(Megabytes(config, QuantizationType::kInt8), none);
  config.model_name = "custom-model";
  EXPECT_GT(Megabytes(config), 0);
}

TEST(CacheDirTest, FollowsTheEnvironment) {
  const ScopedVariable home("HOME", "/home/someone");
  {
    const ScopedVariable mdsa_home("MDSA_HOME", nullptr);
    EXPECT_EQ(ModelLoader().cache_dir(), "/home/someone/.mdsa/models");
  }
  const ScopedVariable mdsa_home("MDSA_HOME", "/data/mdsa");
  EXPECT_EQ(ModelLoader().cache_dir(), "/data/mdsa/models");
  EXPECT_EQ(ModelLoader("/elsewhere").cache_dir(), "/elsewhere");
  EXPECT_EQ(ModelLoader("~/models").cache_dir(), "/home/someone/models");
}

TEST(CacheDirTest, ExpandsOnlyOnesOwnHome) {
  const ScopedVariable home("HOME", "/h");
  EXPECT_EQ(ExpandHome("~"), "/h");
  EXPECT_EQ(ExpandHome("~/x"), "/h/x");
  EXPECT_EQ(ExpandHome("~other/x"), "~other/x");
  EXPECT_EQ(ExpandHome("a/~/x"), "a/~/x");
  const ScopedVariable none("HOME", nullptr);
  EXPECT_EQ(ExpandHome("~/x"), "~/x");
}

}  // namespace
}  // namespace mdsa
