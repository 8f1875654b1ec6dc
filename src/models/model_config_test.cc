#include "mdsa/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

namespace mdsa {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ModelConfigTest, TheThreePresets) {
  const ModelConfig tier1 = ModelConfig::ForTier1();
  EXPECT_EQ(tier1.model_name, "huawei-noah/TinyBERT_General_6L_768D");
  EXPECT_EQ(tier1.tier, ModelTier::kTier1);
  EXPECT_EQ(tier1.device, "cpu");
  EXPECT_EQ(tier1.quantization, QuantizationType::kNone);
  EXPECT_EQ(tier1.max_length, 128);

  const ModelConfig tier2 = ModelConfig::ForTier2();
  EXPECT_EQ(tier2.model_name, "microsoft/phi-1_5");
  EXPECT_EQ(tier2.tier, ModelTier::kTier2);
  EXPECT_EQ(tier2.device, "auto");
  EXPECT_EQ(tier2.quantization, QuantizationType::kInt8);
  EXPECT_EQ(tier2.max_length, 512);

  const ModelConfig tier3 = ModelConfig::ForTier3("meta-llama/Llama-2-7b-hf");
  EXPECT_EQ(tier3.model_name, "meta-llama/Llama-2-7b-hf");
  EXPECT_EQ(tier3.tier, ModelTier::kTier3);
  EXPECT_EQ(tier3.device, "auto");
  EXPECT_EQ(tier3.quantization, QuantizationType::kInt4);
  EXPECT_EQ(tier3.max_length, 2048);

  for (const ModelConfig& config : {tier1, tier2, tier3}) EXPECT_TRUE(config.Validate());
}

TEST(ModelConfigTest, NamesRoundTrip) {
  for (const char* name : {"tier1", "tier2", "tier3"}) {
    EXPECT_EQ(ModelTierName(ParseModelTier(name).value()), name);
  }
  for (const char* name : {"none", "int4", "int8", "fp16", "bfloat16"}) {
    EXPECT_EQ(QuantizationTypeName(ParseQuantizationType(name).value()), name);
  }
}

TEST(ModelConfigTest, UnknownNamesListTheKnownOnes) {
  const auto tier = ParseModelTier("tier4");
  EXPECT_EQ(tier.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(tier.error().ToString(), "unknown tier 'tier4'; known are tier1, tier2, tier3");
  EXPECT_EQ(ParseQuantizationType("INT4").error().ToString(),
            "unknown quantization 'INT4'; known are none, int4, int8, fp16, bfloat16");
}

struct InvalidCase {
  std::function<void(ModelConfig&)> spoil;
  const char* message;
};

TEST(ModelConfigTest, ValidateNamesTheField) {
  const InvalidCase cases[] = {
      {[](ModelConfig& c) { c.model_name.clear(); }, "model_name must not be empty"},
      {[](ModelConfig& c) { c.model_name = std::string("a\0b", 3); },
       "model_name contains a zero byte"},
      {[](ModelConfig& c) { c.tier = static_cast<ModelTier>(3); }, "tier has no name: 3"},
      {[](ModelConfig& c) { c.device = "gpu"; }, "device: unknown device 'gpu'"},
      {[](ModelConfig& c) { c.quantization = static_cast<QuantizationType>(5); },
       "quantization has no name: 5"},
      {[](ModelConfig& c) { c.max_length = 0; }, "max_length must be from 1 to 2147483647, not 0"},
      {[](ModelConfig& c) { c.max_length = std::int64_t{1} << 31; }, "max_length must be from 1"},
      {[](ModelConfig& c) { c.batch_size = -1; },
       "batch_size must be from 1 to 2147483647, not -1"},
      {[](ModelConfig& c) { c.temperature = -0.1; }, "temperature must be a number from 0 up"},
      {[](ModelConfig& c) { c.temperature = std::numeric_limits<double>::quiet_NaN(); },
       "temperature must be"},
      {[](ModelConfig& c) { c.torch_dtype = "int8"; },
       "unknown torch_dtype 'int8'; known are auto, float32, float16, bfloat16"},
      {[](ModelConfig& c) { c.optimization_level = -1; },
       "optimization_level must not be negative"},
      {[](ModelConfig& c) { c.cache_dir = ""; }, "cache_dir must not be empty"},
      {[](ModelConfig& c) { c.kwargs["x"] = "{"; }, "kwargs['x']: no JSON"},
      {[](ModelConfig& c) { c.kwargs["x"] = std::string(65, '['); },
       "kwargs['x']: JSON is nested deeper than 64 levels at byte 64"},
  };
  for (const InvalidCase& invalid : cases) {
    ModelConfig config = ModelConfig::ForTier3("m");
    invalid.spoil(config);
    const Status status = config.Validate();
    ASSERT_FALSE(status) << invalid.message;
    EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(status.error().ToString(), StartsWith(invalid.message));
  }
}

TEST(ModelConfigTest, ToJsonHasAllFieldsInOrder) {
  EXPECT_EQ(ModelConfig::ForTier1("m").ToJson(),
            R"({"model_name":"m","tier":"tier1","device":"cpu","quantization":"none",)"
            R"("max_length":128,"batch_size":1,"temperature":0.7,"use_cache":true,)"
            R"("trust_remote_code":false,"torch_dtype":null,"compile_model":false,)"
            R"("optimization_level":1,"cache_dir":null,"kwargs":{}})");
}

TEST(ModelConfigTest, JsonRoundTripsEveryField) {
  ModelConfig config;
  config.model_name = "a \"name\" with ü";
  config.tier = ModelTier::kTier2;
  config.device = "cuda:3";
  config.quantization = QuantizationType::kBFloat16;
  config.max_length = 77;
  config.batch_size = 5;
  config.temperature = 0.1;
  config.use_cache = false;
  config.trust_remote_code = true;
  config.torch_dtype = "float16";
  config.compile_model = true;
  config.optimization_level = 3;
  config.cache_dir = "/tmp/x";
  config.kwargs = {{"a", R"({"b":[1,2.5,null]})"}, {"z", "\"text\""}};
  const auto again = ModelConfig::FromJson(config.ToJson());
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(*again, config);
}

TEST(ModelConfigTest, AbsentKeysKeepTheirDefaults) {
  const auto config = ModelConfig::FromJson(R"({"model_name": "m"})");
  ASSERT_TRUE(config);
  ModelConfig expected;
  expected.model_name = "m";
  EXPECT_EQ(*config, expected);
}

TEST(ModelConfigTest, FromJsonNamesWhatIsWrong) {
  const struct {
    const char* json;
    const char* message;
  } cases[] = {
      {"", "no JSON: unexpected text at byte 1"},
      {"{\"model_name\": \"m\",}", "no JSON: unexpected text at byte 20"},
      {"[]", "must be a JSON object, not array"},
      {"{}", "the key 'model_name' is missing in a model config"},
      {R"({"model_name": "m", "qantization": "int4"})", "unknown key 'qantization'"},
      {R"({"model_name": 3})", "model_name: must be a string, not number"},
      {R"({"model_name": "m", "tier": 1})", "tier: must be a string, not number"},
      {R"({"model_name": "m", "tier": "one"})", "tier: unknown tier 'one'"},
      {R"({"model_name": "m", "device": null})", "device: must be a string, not null"},
      {R"({"model_name": "m", "quantization": "int2"})", "quantization: unknown quantization"},
      {R"({"model_name": "m", "max_length": 1.5})", "max_length: must be an integer, not number"},
      {R"({"model_name": "m", "max_length": 18446744073709551615})",
       "max_length: must be at most 9223372036854775807"},
      {R"({"model_name": "m", "batch_size": "1"})", "batch_size: must be an integer, not string"},
      {R"({"model_name": "m", "temperature": true})", "temperature: must be a number, not boolean"},
      {R"({"model_name": "m", "temperature": 1e999})", "no JSON: a number is out of range"},
      {R"({"model_name": "m", "use_cache": 1})", "use_cache: must be true or false, not number"},
      {R"({"model_name": "m", "torch_dtype": 16})",
       "torch_dtype: must be a string or null, not number"},
      {R"({"model_name": "m", "cache_dir": false})",
       "cache_dir: must be a string or null, not boolean"},
      {R"({"model_name": "m", "kwargs": []})", "kwargs: must be an object, not array"},
      {R"({"model_name": "m", "max_length": 0})", "max_length must be from 1"},
  };
  for (const auto& invalid : cases) {
    const auto config = ModelConfig::FromJson(invalid.json);
    ASSERT_FALSE(config) << invalid.json;
    EXPECT_EQ(config.error().code(), ErrorCode::kInvalidArgument) << invalid.json;
    EXPECT_THAT(config.error().ToString(), HasSubstr(invalid.message)) << invalid.json;
  }
}

TEST(ModelConfigTest, HostileNestingIsAnError) {
  const std::string deep = R"({"model_name": "m", "kwargs": {"x": )" + std::string(1 << 20, '[');
  const auto config = ModelConfig::FromJson(deep);
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().ToString(), HasSubstr("nested deeper than"));
}

TEST(ModelConfigTest, TheDeepestValidKwargsComeBack) {
  ModelConfig config;
  config.model_name = "m";
  config.kwargs["x"] = std::string(64, '[') + std::string(64, ']');
  ASSERT_TRUE(config.Validate());
  const auto again = ModelConfig::FromJson(config.ToJson());
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(*again, config);
}

TEST(ModelConfigTest, AMillionKwargsAreReadInNoTime) {
  std::string json = R"({"model_name":"m","kwargs":{"x":0)";
  for (int i = 0; i < 1'000'000; ++i) json += ",\"" + std::to_string(i) + "\":0";
  const auto config = ModelConfig::FromJson(json + "}}");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->kwargs.size(), 1'000'001u);
}

TEST(ModelConfigTest, ToJsonOfAnInvalidConfigIsStillJson) {
  ModelConfig config;
  config.model_name = "not \xff UTF-8";
  config.kwargs["x"] = "{";
  EXPECT_THAT(config.ToJson(), HasSubstr(R"("kwargs":{"x":"{"})"));
}

}  // namespace
}  // namespace mdsa
