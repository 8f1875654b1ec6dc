#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "formats/architecture_config.h"
#include "formats/test_support.h"

namespace mdsa {
namespace {

using test::ExpectError;

ArchitectureConfig Parse(std::string_view json, std::string_view generation = {}) {
  auto config = ParseHfConfig(json, generation);
  EXPECT_TRUE(config) << config.error().ToString();
  return config.value_or(ArchitectureConfig());
}

// {"model_type": family, extra}.
std::string Json(std::string_view family, std::string_view extra = "") {
  return fmt::format(R"({{"model_type":"{}"{}{}}})", family, extra.empty() ? "" : ",", extra);
}

std::string Field(std::string_view key, std::string_view value) {
  return fmt::format("\"{}\":{}", key, value);
}

TEST(HfConfigTest, BertDefaults) {
  const ArchitectureConfig config = Parse(Json("bert"));
  EXPECT_EQ(config.family, ModelFamily::kBert);
  EXPECT_EQ(config.head, ModelHead::kNone);
  EXPECT_EQ(config.vocab_size, 30522);
  EXPECT_EQ(config.hidden_size, 768);
  EXPECT_EQ(config.intermediate_size, 3072);
  EXPECT_EQ(config.num_layers, 12);
  EXPECT_EQ(config.num_heads, 12);
  EXPECT_EQ(config.num_kv_heads, 12);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.max_position_embeddings, 512);
  EXPECT_EQ(config.type_vocab_size, 2);
  EXPECT_EQ(config.norm_eps, 1e-12);
  EXPECT_EQ(config.activation, HiddenActivation::kGelu);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.pad_token_id, 0);
  EXPECT_EQ(config.bos_token_id, std::nullopt);
  EXPECT_TRUE(config.eos_token_ids.empty());
}

TEST(HfConfigTest, LlamaDefaults) {
  const ArchitectureConfig config = Parse(Json("llama"));
  EXPECT_EQ(config.vocab_size, 32000);
  EXPECT_EQ(config.hidden_size, 4096);
  EXPECT_EQ(config.intermediate_size, 11008);
  EXPECT_EQ(config.num_layers, 32);
  EXPECT_EQ(config.num_kv_heads, 32);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.rotary_dim, 128);
  EXPECT_EQ(config.max_position_embeddings, 2048);
  EXPECT_EQ(config.norm_eps, 1e-6);
  EXPECT_EQ(config.rope_theta, 10000.0);
  EXPECT_EQ(config.activation, HiddenActivation::kSilu);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_FALSE(config.attention_bias);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_ids, (std::vector<std::int32_t>{2}));
}

TEST(HfConfigTest, PhiDefaults) {
  const ArchitectureConfig config = Parse(Json("phi"));
  EXPECT_EQ(config.vocab_size, 51200);
  EXPECT_EQ(config.hidden_size, 2048);
  EXPECT_EQ(config.intermediate_size, 8192);
  EXPECT_EQ(config.num_layers, 24);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.rotary_dim, 32);
  EXPECT_EQ(config.norm_eps, 1e-5);
  EXPECT_EQ(config.activation, HiddenActivation::kGeluTanh);
  EXPECT_FALSE(config.qk_layernorm);
}

TEST(HfConfigTest, LlamaOldSpelling) {
  const ArchitectureConfig config = Parse(Json(
      "llama", R"("architectures":["LlamaForCausalLM"],"hidden_size":576,"intermediate_size":1536,)"
               R"("num_hidden_layers":30,"num_attention_heads":9,"num_key_value_heads":3,)"
               R"("max_position_embeddings":8192,"rms_norm_eps":1e-05,"rope_theta":100000,)"
               R"("rope_scaling":null,"tie_word_embeddings":true,"torch_dtype":"bfloat16",)"
               R"("vocab_size":49152,"attention_bias":true,"mlp_bias":true,"head_dim":null)"));
  EXPECT_EQ(config.head, ModelHead::kCausalLm);
  EXPECT_EQ(config.architecture, "LlamaForCausalLM");
  EXPECT_EQ(config.num_kv_heads, 3);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.rope_theta, 100000.0);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_TRUE(config.attention_bias);
  EXPECT_TRUE(config.mlp_bias);
  EXPECT_EQ(config.stored_dtype, DType::kBF16);
}

TEST(HfConfigTest, LlamaNewSpelling) {
  const ArchitectureConfig config =
      Parse(Json("llama", R"("rope_parameters":{"rope_type":"default","rope_theta":100000.0},)"
                          R"("dtype":"float16","head_dim":64)"));
  EXPECT_EQ(config.rope_theta, 100000.0);
  EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::kNone);
  EXPECT_EQ(config.stored_dtype, DType::kF16);
  EXPECT_EQ(config.head_dim, 64);  // independent of hidden_size / heads
  EXPECT_EQ(config.rotary_dim, 64);
}

TEST(HfConfigTest, PhiOldAndNewSpelling) {
  const ArchitectureConfig old_spelling =
      Parse(Json("phi", R"("partial_rotary_factor":0.4,"hidden_size":2560,"rope_theta":10000.0,)"
                        R"("qk_layernorm":true)"));
  EXPECT_EQ(old_spelling.head_dim, 80);
  EXPECT_EQ(old_spelling.rotary_dim, 32);
  EXPECT_TRUE(old_spelling.qk_layernorm);
  const ArchitectureConfig new_spelling = Parse(Json(
      "phi", R"("hidden_size":2560,"rope_parameters":{"rope_type":"default","rope_theta":5000.0,)"
             R"("partial_rotary_factor":0.25})"));
  EXPECT_EQ(new_spelling.rotary_dim, 20);
  EXPECT_EQ(new_spelling.rope_theta, 5000.0);
}

TEST(HfConfigTest, BertOldAndNewSpelling) {
  for (std::string_view dtype : {R"("torch_dtype":"float32")", R"("dtype":"float32")"}) {
    const ArchitectureConfig config = Parse(
        Json("bert", std::string(dtype) +
                         R"(,"hidden_size":384,"num_hidden_layers":6,"intermediate_size":1536,)"
                         R"("position_embedding_type":"absolute","hidden_act":"gelu_new")"));
    EXPECT_EQ(config.stored_dtype, DType::kF32);
    EXPECT_EQ(config.head_dim, 32);
    EXPECT_EQ(config.activation, HiddenActivation::kGeluTanh);
  }
}

TEST(HfConfigTest, RopeScalingTypes) {
  const auto rope = [](std::string_view json) { return Parse(Json("llama", json)).rope_scaling; };
  const RopeScaling linear = rope(R"("rope_scaling":{"type":"linear","factor":4.0})");
  EXPECT_EQ(linear.type, RopeScaling::Type::kLinear);
  EXPECT_EQ(linear.factor, 4.0);
  EXPECT_EQ(rope(R"("rope_scaling":{"rope_type":"dynamic","factor":2})").type,
            RopeScaling::Type::kDynamic);
  const RopeScaling llama3 =
      rope(R"("rope_scaling":{"rope_type":"llama3","factor":32.0,"low_freq_factor":1.0,)"
           R"("high_freq_factor":4.0,"original_max_position_embeddings":1024})");
  EXPECT_EQ(llama3.type, RopeScaling::Type::kLlama3);
  EXPECT_EQ(llama3.factor, 32.0);
  EXPECT_EQ(llama3.original_max_position_embeddings, 1024);
  const RopeScaling yarn =
      rope(R"("max_position_embeddings":4096,"rope_parameters":{"rope_type":"yarn",)"
           R"("rope_theta":10000.0,"factor":4.0,"beta_fast":16,"mscale":1.0,"mscale_all_dim":0.5,)"
           R"("truncate":false})");
  EXPECT_EQ(yarn.type, RopeScaling::Type::kYarn);
  EXPECT_EQ(yarn.beta_fast, 16.0);
  EXPECT_EQ(yarn.beta_slow, 1.0);
  EXPECT_EQ(yarn.mscale_all_dim, 0.5);
  EXPECT_FALSE(yarn.truncate);
  EXPECT_EQ(yarn.original_max_position_embeddings, 4096);
  // Without a factor the ratio of the context lengths is meant.
  EXPECT_EQ(rope(R"("max_position_embeddings":4096,"rope_parameters":{"rope_type":"yarn",)"
                 R"("factor":null,"original_max_position_embeddings":1024})")
                .factor,
            4.0);
}

TEST(HfConfigTest, RopeScalingWinsOverRopeParametersWhenNotEmpty) {
  EXPECT_EQ(Parse(Json("llama", R"("rope_scaling":{"type":"linear","factor":2.0},)"
                                R"("rope_parameters":{"rope_type":"default","rope_theta":5.0})"))
                .rope_scaling.type,
            RopeScaling::Type::kLinear);
  EXPECT_EQ(Parse(Json("llama", R"("rope_scaling":{},)"
                                R"("rope_parameters":{"rope_type":"default","rope_theta":5.0})"))
                .rope_theta,
            5.0);
}

TEST(HfConfigTest, RopeErrors) {
  const auto expect = [](std::string_view json, ErrorCode code,
                         std::initializer_list<std::string_view> parts) {
    ExpectError(ParseHfConfig(Json("llama", json)), code, parts);
  };
  expect(R"("rope_scaling":{"type":"longrope"})", ErrorCode::kUnsupported,
         {"rope_type 'longrope'", "supported are default, linear, dynamic, llama3, yarn"});
  expect(R"("rope_scaling":{"type":"linear"})", ErrorCode::kInvalidFormat,
         {"'rope_scaling.factor' is missing"});
  expect(R"("rope_scaling":{"type":"linear","factor":"4"})", ErrorCode::kInvalidFormat,
         {"'rope_scaling.factor'", "expected a number, found a string"});
  expect(R"("rope_scaling":{"type":"linear","factor":0})", ErrorCode::kInvalidFormat,
         {"'factor'", "not a positive number"});
  expect(R"("rope_scaling":{"type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4})",
         ErrorCode::kInvalidFormat, {"'high_freq_factor' 4", "'low_freq_factor' 4"});
  expect(R"("rope_scaling":7)", ErrorCode::kInvalidFormat, {"'rope_scaling'", "an object"});
  expect(R"("rope_theta":0)", ErrorCode::kInvalidFormat, {"rope_theta", "not a positive number"});
  expect(R"("partial_rotary_factor":0.5)", ErrorCode::kUnsupported, {"partial_rotary_factor 0.5"});
  ExpectError(ParseHfConfig(Json("phi", R"("partial_rotary_factor":1.5)")),
              ErrorCode::kInvalidFormat, {"partial_rotary_factor is 1.5"});
  ExpectError(ParseHfConfig(Json("phi", R"("partial_rotary_factor":0.05)")),
              ErrorCode::kInvalidFormat, {"3 of 64 dimensions"});
}

TEST(HfConfigTest, UnknownFamilyListsTheSupported) {
  ExpectError(ParseHfConfig(Json("mistral")), ErrorCode::kUnsupported,
              {"model_type 'mistral' is not supported; supported are bert, llama, phi"});
  ExpectError(ParseHfConfig("{}"), ErrorCode::kInvalidFormat, {"'model_type' is missing"});
  ExpectError(ParseHfConfig(R"({"model_type":5})"), ErrorCode::kInvalidFormat,
              {"'model_type'", "expected a string"});
}

TEST(HfConfigTest, FamilyOfFilesWithoutModelTypeComesFromTheClass) {
  EXPECT_EQ(Parse(R"({"architectures":["BertForPreTraining"]})").family, ModelFamily::kBert);
  ExpectError(ParseHfConfig(R"({"architectures":["Phi3ForCausalLM"]})"), ErrorCode::kInvalidFormat,
              {"'model_type' is missing"});
}

TEST(HfConfigTest, RemoteCodeIsIgnored) {
  EXPECT_EQ(Parse(Json("phi", R"("auto_map":{"AutoConfig":"configuration_phi.PhiConfig"})")).family,
            ModelFamily::kPhi);
}

TEST(HfConfigTest, QuantizedCheckpointsAreUnsupported) {
  ExpectError(
      ParseHfConfig(Json("llama", R"("quantization_config":{"quant_method":"gptq","bits":4})")),
      ErrorCode::kUnsupported, {"quantization_config", "'gptq'", "original checkpoint"});
  Parse(Json("llama", R"("quantization_config":null)"));
}

TEST(HfConfigTest, WrongTypesNameTheKey) {
  for (std::string_view key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "max_position_embeddings", "head_dim"}) {
    for (std::string_view value :
         {"\"8\"", "8.0", "[]", "true", "0", "-8", "2147483648", "18446744073709551615"}) {
      ExpectError(ParseHfConfig(Json("llama", Field(key, value))), ErrorCode::kInvalidFormat,
                  {fmt::format("key '{}'", key)});
    }
  }
  for (std::string_view key : {"rms_norm_eps", "rope_theta"}) {
    ExpectError(ParseHfConfig(Json("llama", Field(key, "\"x\""))), ErrorCode::kInvalidFormat,
                {fmt::format("key '{}'", key), "a number"});
  }
  for (std::string_view key : {"tie_word_embeddings", "attention_bias", "mlp_bias"}) {
    ExpectError(ParseHfConfig(Json("llama", Field(key, "1"))), ErrorCode::kInvalidFormat,
                {fmt::format("key '{}'", key), "a boolean"});
  }
  for (std::string_view key : {"architectures", "hidden_act", "torch_dtype"}) {
    ExpectError(ParseHfConfig(Json("llama", Field(key, "{}"))), ErrorCode::kInvalidFormat,
                {fmt::format("key '{}'", key)});
  }
}

TEST(HfConfigTest, NullsAreDefaults) {
  const ArchitectureConfig config =
      Parse(Json("llama", R"("hidden_size":null,"num_key_value_heads":null,"head_dim":null,)"
                          R"("rope_theta":null,"rope_scaling":null,"hidden_act":null,"dtype":null,)"
                          R"("architectures":null,"attention_bias":null)"));
  EXPECT_EQ(config.hidden_size, 4096);
  EXPECT_EQ(config.num_kv_heads, 32);
  EXPECT_EQ(config.stored_dtype, std::nullopt);
}

TEST(HfConfigTest, ContradictionsAreRefused) {
  ExpectError(ParseHfConfig(Json("bert", R"("hidden_size":770)")), ErrorCode::kInvalidFormat,
              {"hidden_size 770", "num_attention_heads 12"});
  ExpectError(ParseHfConfig(Json("llama", R"("num_key_value_heads":5)")), ErrorCode::kInvalidFormat,
              {"num_attention_heads 32", "num_key_value_heads 5"});
  ExpectError(ParseHfConfig(Json("llama", R"("num_hidden_layers":2000000000)")),
              ErrorCode::kInvalidFormat, {"'num_hidden_layers'", "outside 1..10000"});
  ExpectError(ParseHfConfig(Json("llama", R"("rms_norm_eps":-1)")), ErrorCode::kInvalidFormat,
              {"epsilon is -1"});
  ExpectError(ParseHfConfig(Json("llama", R"("num_attention_heads":1048576,"head_dim":4096)")),
              ErrorCode::kInvalidFormat, {"num_attention_heads * head_dim"});
  ExpectError(ParseHfConfig(Json("llama", R"("head_dim":4098)")), ErrorCode::kInvalidFormat,
              {"head_dim is 4098, outside 1..4096"});
  EXPECT_TRUE(ParseHfConfig(Json("llama", R"("head_dim":4096)")));
}

TEST(HfConfigTest, OtherComputationsAreUnsupported) {
  ExpectError(ParseHfConfig(Json("bert", R"("hidden_act":"quick_gelu")")), ErrorCode::kUnsupported,
              {"hidden_act 'quick_gelu'", "supported are gelu"});
  ExpectError(ParseHfConfig(Json("bert", R"("position_embedding_type":"relative_key")")),
              ErrorCode::kUnsupported, {"'relative_key'"});
  ExpectError(ParseHfConfig(Json("bert", R"("is_decoder":true)")), ErrorCode::kUnsupported,
              {"'is_decoder'"});
}

TEST(HfConfigTest, LabelsOfAClassifier) {
  constexpr std::string_view kHead = R"("architectures":["BertForSequenceClassification"])";
  const auto parse = [&](std::string_view extra) {
    return ParseHfConfig(
        Json("bert", std::string(kHead) + (extra.empty() ? "" : ",") + std::string(extra)));
  };
  const auto plain = parse("");
  ASSERT_TRUE(plain) << plain.error().ToString();
  EXPECT_EQ(plain->head, ModelHead::kSequenceClassification);
  EXPECT_EQ(plain->labels, (std::vector<std::string>{"LABEL_0", "LABEL_1"}));
  EXPECT_EQ(parse(R"("num_labels":3)")->num_labels, 3);
  const auto named =
      parse(R"("id2label":{"1":"good","0":"bad"},"problem_type":"multi_label_classification")");
  ASSERT_TRUE(named) << named.error().ToString();
  EXPECT_EQ(named->labels, (std::vector<std::string>{"bad", "good"}));
  EXPECT_TRUE(named->classifier_multi_label);
  EXPECT_FALSE(plain->classifier_multi_label);
  for (std::string_view map : {R"({"0":"a","2":"b"})", R"({"x":"a"})", R"({"0":1})", "{}",
                               R"({"-1":"a"})", R"({"0x":"a"})"}) {
    ExpectError(parse("\"id2label\":" + std::string(map)), ErrorCode::kInvalidFormat,
                {"'id2label'"});
  }
  ExpectError(parse(R"("num_labels":2000000000)"), ErrorCode::kInvalidFormat, {"'num_labels'"});
  // Not a classifier: its labels do not matter.
  EXPECT_TRUE(Parse(Json("bert", R"("id2label":{"x":1})")).labels.empty());
}

TEST(HfConfigTest, EndOfSequenceIds) {
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(Parse(Json("llama", R"("eos_token_id":7)")).eos_token_ids, Ids{7});
  EXPECT_EQ(Parse(Json("llama", R"("eos_token_id":[7,8])")).eos_token_ids, (Ids{7, 8}));
  EXPECT_EQ(Parse(Json("llama", R"("eos_token_id":null)")).eos_token_ids, Ids{});
  EXPECT_EQ(Parse(Json("llama", R"("eos_token_id":-1)")).eos_token_ids, Ids{});
  ExpectError(ParseHfConfig(Json("llama", R"("eos_token_id":["7"])")), ErrorCode::kInvalidFormat,
              {"'eos_token_id'"});
  ExpectError(ParseHfConfig(Json("llama", R"("eos_token_id":3000000000)")),
              ErrorCode::kInvalidFormat, {"'eos_token_id'"});
  EXPECT_EQ(Parse(Json("llama", R"("pad_token_id":-1)")).pad_token_id, std::nullopt);
}

TEST(HfConfigTest, GenerationConfigWinsForEndOfSequence) {
  const ArchitectureConfig config =
      Parse(Json("llama", R"("eos_token_id":7,"bos_token_id":1,"pad_token_id":null)"),
            R"({"eos_token_id":[8,9],"bos_token_id":5,"pad_token_id":6})");
  EXPECT_EQ(config.eos_token_ids, (std::vector<std::int32_t>{8, 9}));
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.pad_token_id, 6);
  EXPECT_EQ(Parse(Json("llama", R"("eos_token_id":7)"), "{}").eos_token_ids,
            (std::vector<std::int32_t>{7}));
  ExpectError(ParseHfConfig(Json("llama"), R"({"eos_token_id":"x"})"), ErrorCode::kInvalidFormat,
              {"generation_config.json", "'eos_token_id'"});
  ExpectError(ParseHfConfig(Json("llama"), "{"), ErrorCode::kInvalidFormat,
              {"generation_config.json", "not valid JSON"});
}

TEST(HfConfigTest, TextThatIsNoObject) {
  ExpectError(ParseHfConfig(""), ErrorCode::kInvalidFormat, {"not valid JSON"});
  ExpectError(ParseHfConfig("[]"), ErrorCode::kInvalidFormat, {"expected an object"});
  ExpectError(ParseHfConfig(Json("llama", R"("hidden_size":1e999)")), ErrorCode::kInvalidFormat,
              {"not valid JSON"});
}

}  // namespace
}  // namespace mdsa
