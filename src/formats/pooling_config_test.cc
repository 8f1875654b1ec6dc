#include "formats/pooling_config.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "formats/test_support.h"

namespace mdsa {
namespace {

using test::ExpectError;

constexpr std::string_view kModules =
    R"([{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},)"
    R"({"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"},)"
    R"({"idx":2,"name":"2","path":"2_Normalize","type":"sentence_transformers.models.Normalize"}])";
constexpr std::string_view kNoNormalize =
    R"([{"path":"","type":"sentence_transformers.models.Transformer"},)"
    R"({"path":"pool","type":"Pooling"}])";

TEST(PoolingConfigTest, ReadsTheUsualFolder) {
  const auto config =
      ParsePoolingConfig(kModules,
                         R"({"word_embedding_dimension":384,"pooling_mode_cls_token":false,)"
                         R"("pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":false})",
                         R"({"max_seq_length":256,"do_lower_case":false})");
  ASSERT_TRUE(config) << config.error().ToString();
  EXPECT_EQ(config->mode, PoolingMode::kMean);
  EXPECT_TRUE(config->normalize);
  EXPECT_EQ(config->max_seq_length, 256);
  EXPECT_EQ(PoolingModulePath(kModules), "1_Pooling");
}

TEST(PoolingConfigTest, EveryModeInBothSpellings) {
  for (const auto& [flag, name, mode] :
       {std::tuple("pooling_mode_cls_token", "cls", PoolingMode::kCls),
        {"pooling_mode_mean_tokens", "mean", PoolingMode::kMean},
        {"pooling_mode_max_tokens", "max", PoolingMode::kMax},
        {"pooling_mode_lasttoken", "lasttoken", PoolingMode::kLastToken}}) {
    for (const std::string& json : {"{\"" + std::string(flag) + "\":true}",
                                    "{\"pooling_mode\":\"" + std::string(name) + "\"}"}) {
      const auto config = ParsePoolingConfig(kNoNormalize, json, "");
      ASSERT_TRUE(config) << config.error().ToString();
      EXPECT_EQ(config->mode, mode);
      EXPECT_FALSE(config->normalize);
      EXPECT_EQ(config->max_seq_length, 0);
    }
  }
  EXPECT_EQ(ParsePoolingConfig(kNoNormalize, "{}", "{}")->mode, PoolingMode::kMean);
}

TEST(PoolingConfigTest, UnsupportedModes) {
  ExpectError(ParsePoolingConfig(kModules, R"({"pooling_mode_weightedmean_tokens":true})", ""),
              ErrorCode::kUnsupported,
              {"pooling config.json", "pooling_mode_weightedmean_tokens", "supported are mean"});
  ExpectError(
      ParsePoolingConfig(kModules,
                         R"({"pooling_mode_cls_token":true,"pooling_mode_max_tokens":true})", ""),
      ErrorCode::kUnsupported, {"pooling_mode_cls_token", "pooling_mode_max_tokens"});
  ExpectError(ParsePoolingConfig(kModules, R"({"pooling_mode":"attention"})", ""),
              ErrorCode::kUnsupported, {"'attention'"});
  ExpectError(ParsePoolingConfig(kModules, R"({"pooling_mode_mean_tokens":false})", ""),
              ErrorCode::kInvalidFormat, {"no pooling mode is true"});
}

TEST(PoolingConfigTest, UnsupportedModules) {
  ExpectError(
      PoolingModulePath(R"([{"type":"sentence_transformers.models.Dense","path":"2_Dense"}])"),
      ErrorCode::kUnsupported, {"models.Dense", "Transformer, Pooling, Normalize"});
  ExpectError(PoolingModulePath("[]"), ErrorCode::kUnsupported, {"no Pooling module"});
}

TEST(PoolingConfigTest, PathCannotLeaveTheFolder) {
  for (std::string_view path :
       {"../1_Pooling", "/etc", "a/../../b", "", "a\\u0000b", ".", "./", "a\\nb", "\\u001b[31m"}) {
    ExpectError(
        PoolingModulePath("[{\"type\":\"Pooling\",\"path\":\"" + std::string(path) + "\"}]"),
        ErrorCode::kInvalidFormat, {"not inside the folder"});
  }
}

TEST(PoolingConfigTest, LowerCasingBesideTheTokenizerIsUnsupported) {
  ExpectError(ParsePoolingConfig(kModules, "{}", R"({"max_seq_length":8,"do_lower_case":true})"),
              ErrorCode::kUnsupported, {"sentence_bert_config.json", "'do_lower_case'"});
}

TEST(PoolingConfigTest, WrongTypesNameFileAndKey) {
  ExpectError(PoolingModulePath("{}"), ErrorCode::kInvalidFormat, {"expected an array"});
  ExpectError(PoolingModulePath("[1]"), ErrorCode::kInvalidFormat, {"module 0"});
  ExpectError(PoolingModulePath(R"([{"path":"x"}])"), ErrorCode::kInvalidFormat,
              {"'0.type' is missing"});
  ExpectError(ParsePoolingConfig("{", "{}", ""), ErrorCode::kInvalidFormat, {"modules.json"});
  ExpectError(ParsePoolingConfig(kModules, R"({"pooling_mode_cls_token":1})", ""),
              ErrorCode::kInvalidFormat, {"pooling config.json", "'pooling_mode_cls_token'"});
  ExpectError(ParsePoolingConfig(kModules, "{}", R"({"max_seq_length":"x"})"),
              ErrorCode::kInvalidFormat, {"sentence_bert_config.json", "'max_seq_length'"});
}

}  // namespace
}  // namespace mdsa
