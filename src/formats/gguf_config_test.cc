#include "formats/gguf_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <string>

#include "formats/test_support.h"

namespace mdsa {
namespace {

using test::AsBytes;
using test::ExpectError;
using test::GgufBuilder;
using test::Raw;
using test::TinyLlamaGguf;

Result<ArchitectureConfig> Config(const GgufBuilder& gguf) {
  const std::string file = gguf.Build();
  auto parsed = ParseGguf(AsBytes(file));
  if (!parsed) return std::unexpected(parsed.error());
  return ArchitectureConfigFromGguf(*parsed);
}

Result<Tokenizer::GgufVocabulary> Vocabulary(const GgufBuilder& gguf) {
  const std::string file = gguf.Build();
  auto parsed = ParseGguf(AsBytes(file));
  if (!parsed) return std::unexpected(parsed.error());
  return GgufVocabularyFrom(*parsed);
}

GgufBuilder WithEmbedding() { return TinyLlamaGguf().F32Tensor("token_embd.weight", {8, 4}); }

std::string FloatArray(const std::vector<float>& values) {
  std::string payload = Raw<std::uint32_t>(6) + Raw<std::uint64_t>(values.size());
  for (float value : values) payload += Raw(value);
  return payload;
}

TEST(GgufConfigTest, Llama) {
  const auto config = Config(WithEmbedding()
                                 .F32("llama.rope.freq_base", 50000.0f)
                                 .U32("tokenizer.ggml.bos_token_id", 1)
                                 .U32("tokenizer.ggml.eos_token_id", 2)
                                 .U32("tokenizer.ggml.eot_token_id", 3)
                                 .U32("tokenizer.ggml.padding_token_id", 4294967295u));
  ASSERT_TRUE(config) << config.error().ToString();
  EXPECT_EQ(config->family, ModelFamily::kLlama);
  EXPECT_EQ(config->head, ModelHead::kCausalLm);
  EXPECT_EQ(config->architecture, "LlamaForCausalLM");
  EXPECT_EQ(config->vocab_size, 4);
  EXPECT_EQ(config->hidden_size, 8);
  EXPECT_EQ(config->intermediate_size, 16);
  EXPECT_EQ(config->num_layers, 1);
  EXPECT_EQ(config->num_heads, 2);
  EXPECT_EQ(config->num_kv_heads, 1);
  EXPECT_EQ(config->head_dim, 4);
  EXPECT_EQ(config->rotary_dim, 4);
  EXPECT_EQ(config->max_position_embeddings, 64);
  EXPECT_FLOAT_EQ(static_cast<float>(config->norm_eps), 1e-5f);
  EXPECT_EQ(config->rope_theta, 50000.0);
  EXPECT_EQ(config->rope_scaling.type, RopeScaling::Type::kNone);
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_FALSE(config->attention_bias);
  EXPECT_EQ(config->bos_token_id, 1);
  EXPECT_EQ(config->eos_token_ids, (std::vector<std::int32_t>{2, 3}));
  EXPECT_EQ(config->pad_token_id, std::nullopt);
}

TEST(GgufConfigTest, OutputMatrixMeansUntied) {
  const auto config = Config(WithEmbedding().F32Tensor("output.weight", {8, 4}));
  ASSERT_TRUE(config) << config.error().ToString();
  EXPECT_FALSE(config->tie_word_embeddings);
}

TEST(GgufConfigTest, PhiAndBert) {
  GgufBuilder phi;
  phi.String("general.architecture", "phi2")
      .U32("phi2.embedding_length", 16)
      .U32("phi2.feed_forward_length", 32)
      .U32("phi2.block_count", 2)
      .U32("phi2.context_length", 64)
      .U32("phi2.attention.head_count", 2)
      .U32("phi2.rope.dimension_count", 4)
      .U32("phi2.vocab_size", 99)
      .F32("phi2.attention.layer_norm_epsilon", 1e-5f);
  const auto phi_config = Config(phi);
  ASSERT_TRUE(phi_config) << phi_config.error().ToString();
  EXPECT_EQ(phi_config->family, ModelFamily::kPhi);
  EXPECT_EQ(phi_config->rotary_dim, 4);
  EXPECT_EQ(phi_config->head_dim, 8);
  EXPECT_EQ(phi_config->num_kv_heads, 2);
  EXPECT_EQ(phi_config->vocab_size, 99);
  EXPECT_EQ(phi_config->activation, HiddenActivation::kGeluTanh);

  GgufBuilder bert;
  bert.String("general.architecture", "bert")
      .U32("bert.embedding_length", 16)
      .U32("bert.feed_forward_length", 32)
      .U32("bert.block_count", 2)
      .U32("bert.context_length", 64)
      .U32("bert.attention.head_count", 2)
      .F32("bert.attention.layer_norm_epsilon", 1e-12f)
      .U32("bert.pooling_type", 2)
      .F32Tensor("token_embd.weight", {16, 7})
      .F32Tensor("token_types.weight", {16, 3});
  const auto bert_config = Config(bert);
  ASSERT_TRUE(bert_config) << bert_config.error().ToString();
  EXPECT_EQ(bert_config->family, ModelFamily::kBert);
  EXPECT_EQ(bert_config->type_vocab_size, 3);
  EXPECT_EQ(bert_config->vocab_size, 7);
  const std::string file = bert.Build();
  const auto pooling = PoolingConfigFromGguf(*ParseGguf(AsBytes(file)));
  ASSERT_TRUE(pooling && *pooling);
  EXPECT_EQ((*pooling)->mode, PoolingMode::kCls);
}

TEST(GgufConfigTest, UnknownArchitectureListsTheSupported) {
  ExpectError(Config(GgufBuilder().String("general.architecture", "mamba")),
              ErrorCode::kUnsupported, {"'mamba'", "llama, phi2, bert"});
}

TEST(GgufConfigTest, MissingAndWrongKeysAreNamed) {
  ExpectError(Config(GgufBuilder().String("general.architecture", "llama")),
              ErrorCode::kInvalidFormat, {"'llama.embedding_length' is missing"});
  ExpectError(Config(TinyLlamaGguf()), ErrorCode::kInvalidFormat,
              {"'llama.vocab_size' is missing"});
  ExpectError(
      Config(
          GgufBuilder().String("general.architecture", "llama").U32("llama.embedding_length", 0)),
      ErrorCode::kInvalidFormat, {"'llama.embedding_length'", "0 is outside"});
  ExpectError(Config(GgufBuilder()
                         .String("general.architecture", "llama")
                         .U32("llama.embedding_length", 8)
                         .U32("llama.feed_forward_length", 8)
                         .U32("llama.block_count", 4000000000u)),
              ErrorCode::kInvalidFormat, {"'llama.block_count'", "outside 1..10000"});
}

TEST(GgufConfigTest, ContradictionsAreRefused) {
  ExpectError(Config(WithEmbedding().U32("llama.rope.dimension_count", 6)),
              ErrorCode::kInvalidFormat, {"6 of 4 dimensions"});
  ExpectError(Config(WithEmbedding().U32("llama.attention.value_length", 6)),
              ErrorCode::kUnsupported, {"'llama.attention.value_length'"});
  ExpectError(Config(WithEmbedding().F32("llama.rope.freq_base", -1.0f)), ErrorCode::kInvalidFormat,
              {"rope_theta", "-1"});
}

TEST(GgufConfigTest, MixturesAndPartsAreUnsupported) {
  ExpectError(Config(WithEmbedding().U32("llama.expert_count", 8)), ErrorCode::kUnsupported,
              {"mixtures of 8 experts"});
  ExpectError(Config(WithEmbedding().Entry("split.count", 2, Raw<std::uint16_t>(3))),
              ErrorCode::kUnsupported, {"one of 3 parts"});
}

TEST(GgufConfigTest, RopeScaling) {
  const auto linear = Config(WithEmbedding()
                                 .String("llama.rope.scaling.type", "linear")
                                 .F32("llama.rope.scaling.factor", 4.0f));
  ASSERT_TRUE(linear) << linear.error().ToString();
  EXPECT_EQ(linear->rope_scaling.type, RopeScaling::Type::kLinear);
  EXPECT_EQ(linear->rope_scaling.factor, 4.0);
  const auto yarn = Config(WithEmbedding()
                               .String("llama.rope.scaling.type", "yarn")
                               .F32("llama.rope.scaling.factor", 4.0f)
                               .U32("llama.rope.scaling.original_context_length", 16));
  ASSERT_TRUE(yarn) << yarn.error().ToString();
  EXPECT_EQ(yarn->rope_scaling.type, RopeScaling::Type::kYarn);
  EXPECT_EQ(yarn->rope_scaling.original_max_position_embeddings, 16);
  EXPECT_EQ(yarn->rope_scaling.attention_factor, std::nullopt);
  ExpectError(Config(WithEmbedding()
                         .String("llama.rope.scaling.type", "longrope")
                         .F32("llama.rope.scaling.factor", 4.0f)),
              ErrorCode::kUnsupported, {"'longrope'", "none, linear, yarn"});
  ExpectError(Config(WithEmbedding().String("llama.rope.scaling.type", "linear")),
              ErrorCode::kInvalidFormat, {"'llama.rope.scaling.factor' is missing"});
}

// llama.cpp's reading of a file that gives only the factor.
TEST(GgufConfigTest, FactorWithoutATypeIsLinearScaling) {
  for (const std::string key : {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {
    const auto config = Config(WithEmbedding().F32(key, 2.0f));
    ASSERT_TRUE(config) << config.error().ToString();
    EXPECT_EQ(config->rope_scaling.type, RopeScaling::Type::kLinear) << key;
    EXPECT_EQ(config->rope_scaling.factor, 2.0) << key;
    const auto zero = Config(WithEmbedding().F32(key, 0.0f));
    ASSERT_TRUE(zero) << zero.error().ToString();
    EXPECT_EQ(zero->rope_scaling.type, RopeScaling::Type::kNone) << key;
  }
  const auto none = Config(WithEmbedding()
                               .String("llama.rope.scaling.type", "none")
                               .F32("llama.rope.scaling.factor", 2.0f));
  ASSERT_TRUE(none) << none.error().ToString();
  EXPECT_EQ(none->rope_scaling.type, RopeScaling::Type::kNone);
}

TEST(GgufConfigTest, LlamaThatRotatesAPartOfEachHeadIsUnsupported) {
  ExpectError(Config(WithEmbedding().U32("llama.rope.dimension_count", 2)), ErrorCode::kUnsupported,
              {"'llama.rope.dimension_count'", "2 of 4"});
}

// The config of a tiny llama with these two divisors.
Result<ArchitectureConfig> WithDivisors(GgufBuilder gguf, float first, float second) {
  std::string file = gguf.F32Tensor("rope_freqs.weight", {2}).Build();
  file.replace(file.size() - 32, 8, Raw(first) + Raw(second));
  const auto parsed = ParseGguf(AsBytes(file));
  if (!parsed) return std::unexpected(parsed.error());
  return ArchitectureConfigFromGguf(*parsed);
}

TEST(GgufConfigTest, RopeFactorTableOfOnesIsNoScaling) {
  const auto config = WithDivisors(WithEmbedding(), 1, 1);
  ASSERT_TRUE(config) << config.error().ToString();
  EXPECT_EQ(config->rope_scaling.type, RopeScaling::Type::kNone);
}

TEST(GgufConfigTest, RopeFactorTableOfAnythingElseIsUnsupported) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const auto& [first, second] : {std::pair(0.0f, 0.0f),
                                      {0.5f, 0.5f},
                                      {1.0f, 0.5f},
                                      {nan, nan},
                                      {1.0f, nan},
                                      {nan, 1.0f},
                                      {1.0f, infinity},
                                      {-1.0f, -1.0f}}) {
    ExpectError(WithDivisors(WithEmbedding(), first, second), ErrorCode::kUnsupported,
                {"'rope_freqs.weight'"});
  }
}

TEST(GgufConfigTest, RopeFactorTableBesideAScalingTypeIsUnsupported) {
  ExpectError(WithDivisors(WithEmbedding()
                               .String("llama.rope.scaling.type", "linear")
                               .F32("llama.rope.scaling.factor", 2.0f),
                           1, 2),
              ErrorCode::kUnsupported, {"'rope_freqs.weight'", "scaling"});
}

// Both readers of the ids follow one rule.
TEST(GgufConfigTest, IdsBeyondTheVocabulary) {
  for (const std::string key : {"bos_token_id", "eos_token_id"}) {
    ExpectError(Config(WithEmbedding().U32("tokenizer.ggml." + key, 4)), ErrorCode::kInvalidFormat,
                {key, "4 is outside the vocabulary of 4"});
  }
  const auto config = Config(WithEmbedding()
                                 .U32("tokenizer.ggml.padding_token_id", 4)
                                 .U32("tokenizer.ggml.eot_token_id", 4));
  ASSERT_TRUE(config) << config.error().ToString();
  EXPECT_EQ(config->pad_token_id, std::nullopt);
  EXPECT_TRUE(config->eos_token_ids.empty());
  const auto vocabulary = Vocabulary(GgufBuilder()
                                         .String("tokenizer.ggml.model", "gpt2")
                                         .Strings("tokenizer.ggml.tokens", {"a", "b"})
                                         .U32("tokenizer.ggml.padding_token_id", 2)
                                         .U32("tokenizer.ggml.unknown_token_id", 2)
                                         .U32("tokenizer.ggml.mask_token_id", 1));
  ASSERT_TRUE(vocabulary) << vocabulary.error().ToString();
  EXPECT_EQ(vocabulary->special.pad, std::nullopt);
  EXPECT_EQ(vocabulary->special.unk, std::nullopt);
  EXPECT_EQ(vocabulary->special.mask, 1);
}

// The divisors that llama.cpp stores for llama3 scaling with factor 8 are recognized.
TEST(GgufConfigTest, RopeFactorTableIsLlama3Scaling) {
  constexpr int kHeadDim = 128;
  constexpr double kTheta = 500000.0;
  std::string table;
  for (int i = 0; i < kHeadDim / 2; ++i) {
    const double wavelength =
        2 * std::numbers::pi * std::pow(kTheta, 2.0 * i / static_cast<double>(kHeadDim));
    double divisor = 1;
    if (wavelength > 8192.0) {
      divisor = 8;
    } else if (wavelength >= 8192.0 / 4) {
      const double smooth = (8192.0 / wavelength - 1) / 3;
      divisor = 1 / ((1 - smooth) / 8 + smooth);
    }
    table += Raw(static_cast<float>(divisor));
  }
  GgufBuilder gguf;
  gguf.String("general.architecture", "llama")
      .U32("llama.embedding_length", 256)
      .U32("llama.feed_forward_length", 16)
      .U32("llama.block_count", 1)
      .U32("llama.context_length", 131072)
      .U32("llama.attention.head_count", 2)
      .F32("llama.attention.layer_norm_rms_epsilon", 1e-5f)
      .F32("llama.rope.freq_base", 500000.0f)
      .U32("llama.vocab_size", 4)
      .F32Tensor("rope_freqs.weight", {64});
  std::string file = gguf.Build();
  file.replace(file.size() - table.size(), table.size(), table);
  const auto parsed = ParseGguf(AsBytes(file));
  ASSERT_TRUE(parsed) << parsed.error().ToString();
  const auto config = ArchitectureConfigFromGguf(*parsed);
  ASSERT_TRUE(config) << config.error().ToString();
  EXPECT_EQ(config->rope_scaling.type, RopeScaling::Type::kLlama3);
  EXPECT_EQ(config->rope_scaling.factor, 8.0);
  EXPECT_EQ(config->rope_scaling.low_freq_factor, 1.0);
  EXPECT_EQ(config->rope_scaling.high_freq_factor, 4.0);
  EXPECT_EQ(config->rope_scaling.original_max_position_embeddings, 8192);

  file.replace(file.size() - 4, 4, Raw(5.0f));
  ExpectError(ArchitectureConfigFromGguf(*ParseGguf(AsBytes(file))), ErrorCode::kUnsupported,
              {"'rope_freqs.weight'"});
}

TEST(GgufVocabularyTest, ReadsEverything) {
  const auto vocabulary = Vocabulary(
      GgufBuilder()
          .String("tokenizer.ggml.model", "gpt2")
          .String("tokenizer.ggml.pre", "smollm")
          .Strings("tokenizer.ggml.tokens", {"<s>", "a", "b"})
          .Strings("tokenizer.ggml.merges", {"a b"})
          .Entry("tokenizer.ggml.scores", 9, FloatArray({0, -1, -2}))
          .Entry("tokenizer.ggml.token_type", 9,
                 Raw<std::uint32_t>(5) + Raw<std::uint64_t>(3) + Raw(3) + Raw(1) + Raw(1))
          .U32("tokenizer.ggml.bos_token_id", 0)
          .U32("tokenizer.ggml.seperator_token_id", 2)
          .U32("tokenizer.ggml.eos_token_id", 4294967295u)
          .Bool("tokenizer.ggml.add_bos_token", false)
          .String("tokenizer.chat_template", "{{ x }}"));
  ASSERT_TRUE(vocabulary) << vocabulary.error().ToString();
  EXPECT_EQ(vocabulary->model, "gpt2");
  EXPECT_EQ(vocabulary->pre, "smollm");
  EXPECT_EQ(vocabulary->tokens, (std::vector<std::string>{"<s>", "a", "b"}));
  EXPECT_EQ(vocabulary->merges, (std::vector<std::string>{"a b"}));
  EXPECT_EQ(vocabulary->scores, (std::vector<float>{0, -1, -2}));
  EXPECT_EQ(vocabulary->token_types, (std::vector<std::int32_t>{3, 1, 1}));
  EXPECT_EQ(vocabulary->special.bos, 0);
  EXPECT_EQ(vocabulary->special.sep, 2);
  EXPECT_EQ(vocabulary->special.eos, std::nullopt);
  EXPECT_EQ(vocabulary->add_bos, false);
  EXPECT_EQ(vocabulary->add_eos, std::nullopt);
  EXPECT_EQ(vocabulary->chat_template, "{{ x }}");
}

TEST(GgufVocabularyTest, RejectsContradictions) {
  ExpectError(Vocabulary(GgufBuilder()), ErrorCode::kNotFound, {"'tokenizer.ggml.model'"});
  const auto base = [] { return GgufBuilder().String("tokenizer.ggml.model", "gpt2"); };
  ExpectError(Vocabulary(base()), ErrorCode::kInvalidFormat, {"'tokenizer.ggml.tokens'"});
  const auto with_tokens = [&] {
    GgufBuilder gguf = base();
    gguf.Strings("tokenizer.ggml.tokens", {"a", "b"});
    return gguf;
  };
  ExpectError(Vocabulary(with_tokens().U32("tokenizer.ggml.bos_token_id", 2)),
              ErrorCode::kInvalidFormat,
              {"'tokenizer.ggml.bos_token_id'", "2 is outside the vocabulary of 2"});
  ExpectError(Vocabulary(with_tokens().Entry("tokenizer.ggml.scores", 9, FloatArray({1}))),
              ErrorCode::kInvalidFormat, {"'tokenizer.ggml.scores' has 1 entries"});
  ExpectError(Vocabulary(with_tokens().U32("tokenizer.ggml.merges", 2)), ErrorCode::kInvalidFormat,
              {"'tokenizer.ggml.merges'", "an array of strings"});
}

}  // namespace
}  // namespace mdsa
