// Whole models against the double-precision reference.
#include "mdsa/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/float16.h"
#include "engine/load.h"
#include "quant/int8.h"
#include "quant/nf4.h"
#include "support/reference_model.h"
#include "support/tiny_model.h"

namespace mdsa::engine {
namespace {

using ::testing::AllOf;
using testing::BuildTinyModel;
using ::testing::HasSubstr;
using testing::MakeBuildInput;
using testing::MakeSource;
using testing::RandomIds;
using testing::RandomWeights;
using testing::Rows;
using testing::RunReference;
using testing::TinyBertConfig;
using testing::TinyLlamaConfig;
using testing::TinyPhiConfig;
using testing::TinyWeights;

void ExpectNear(std::span<const float> found, const std::vector<double>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-4) << i;
}

void ExpectRows(const Tensor& tensor, std::size_t first, const Rows& expected,
                std::span<const std::uint8_t> mask = {}) {
  const auto width = static_cast<std::size_t>(tensor.shape.back());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (!mask.empty() && mask[i] == 0) continue;
    ExpectNear(std::span(tensor.values).subspan((first + i) * width, width), expected[i]);
  }
}

struct NamedConfig {
  std::string name;
  ArchitectureConfig config;
};

std::vector<NamedConfig> DecoderConfigs() {
  std::vector<NamedConfig> configs = {{"Llama", TinyLlamaConfig()}, {"Phi", TinyPhiConfig()}};
  const auto add = [&](std::string name, ArchitectureConfig config, auto change) {
    change(config);
    configs.push_back({std::move(name), std::move(config)});
  };
  using C = ArchitectureConfig;
  add("LlamaTied", TinyLlamaConfig(), [](C& c) { c.tie_word_embeddings = true; });
  add("LlamaBiases", TinyLlamaConfig(), [](C& c) { c.attention_bias = c.mlp_bias = true; });
  add("LlamaOneKeyHead", TinyLlamaConfig(), [](C& c) { c.num_kv_heads = 1; });
  add("LlamaWideHeads", TinyLlamaConfig(), [](C& c) { c.head_dim = c.rotary_dim = 14; });
  add("LlamaBare", TinyLlamaConfig(), [](C& c) { c.head = ModelHead::kNone; });
  add("PhiNormedHeads", TinyPhiConfig(), [](C& c) { c.qk_layernorm = true; });
  add("PhiTied", TinyPhiConfig(), [](C& c) { c.tie_word_embeddings = true; });
  add("PhiGrouped", TinyPhiConfig(), [](C& c) { c.num_kv_heads = 2; });
  add("PhiBare", TinyPhiConfig(), [](C& c) { c.head = ModelHead::kNone; });
  add("PhiUnrotated", TinyPhiConfig(), [](C& c) { c.rotary_dim = 0; });
  return configs;
}

class DecoderTest : public ::testing::TestWithParam<NamedConfig> {
 protected:
  const ArchitectureConfig& config() const { return GetParam().config; }
  const Tensor& Output(const ForwardOutput& output) const {
    return config().head == ModelHead::kNone ? *output.last_hidden_state : *output.logits;
  }
  const Rows& Expected(const testing::ReferenceOutput& output) const {
    return config().head == ModelHead::kNone ? output.hidden : output.logits;
  }
};

TEST_P(DecoderTest, ForwardEqualsTheReference) {
  const auto weights = RandomWeights(config());
  const auto model = BuildTinyModel(config(), weights);
  constexpr std::int64_t kTokens = 11;
  const auto ids = RandomIds(3 * kTokens, config().vocab_size);
  const auto output = model->Forward({3, kTokens, ids});
  ASSERT_TRUE(output) << output.error().ToString();
  for (std::size_t b = 0; b < 3; ++b) {
    const auto expected =
        RunReference(config(), weights, std::span(ids).subspan(b * kTokens, kTokens));
    ExpectRows(Output(*output), b * kTokens, Expected(expected));
  }
}

TEST_P(DecoderTest, PaddingIsHidden) {
  const auto weights = RandomWeights(config());
  const auto model = BuildTinyModel(config(), weights);
  const auto ids = RandomIds(12, config().vocab_size);
  const std::vector<std::uint8_t> mask = {1, 1, 1, 1, 0, 0, /**/ 0, 0, 1, 1, 1, 1};
  const auto output = model->Forward({2, 6, ids, mask});
  ASSERT_TRUE(output);
  for (std::size_t b = 0; b < 2; ++b) {
    const auto row_mask = std::span(mask).subspan(b * 6, 6);
    const auto expected =
        RunReference(config(), weights, std::span(ids).subspan(b * 6, 6), {}, row_mask);
    ExpectRows(Output(*output), b * 6, Expected(expected), row_mask);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, DecoderTest, ::testing::ValuesIn(DecoderConfigs()),
                         [](const auto& test) { return test.param.name; });

TEST(ModelTest, LongSequencesAreComputedInChunks) {
  ArchitectureConfig config = TinyLlamaConfig();
  config.num_layers = 1;
  const auto weights = RandomWeights(config);
  const auto model = BuildTinyModel(config, weights);
  const auto ids = RandomIds(700, config.vocab_size);
  const auto output = model->Forward({1, 700, ids});
  ASSERT_TRUE(output);
  ExpectRows(*output->logits, 0, RunReference(config, weights, ids).logits);
}

TEST(ModelTest, BertEqualsTheReference) {
  const ArchitectureConfig config = TinyBertConfig();
  const auto weights = RandomWeights(config);
  const auto model = BuildTinyModel(config, weights);
  const auto ids = RandomIds(14, config.vocab_size);
  const auto types = RandomIds(14, 3);
  const std::vector<std::uint8_t> mask = {1, 1, 1, 1, 1, 1, 1, /**/ 1, 1, 1, 1, 0, 0, 0};
  const auto output = model->Forward({2, 7, ids, mask, types});
  ASSERT_TRUE(output) << output.error().ToString();
  EXPECT_FALSE(output->logits);
  for (std::size_t b = 0; b < 2; ++b) {
    const auto expected =
        RunReference(config, weights, std::span(ids).subspan(b * 7, 7),
                     std::span(types).subspan(b * 7, 7), std::span(mask).subspan(b * 7, 7));
    ExpectRows(*output->last_hidden_state, b * 7, expected.hidden);
    ExpectNear(std::span(output->pooler_output->values).subspan(b * 36, 36), expected.pooled);
  }
}

TEST(ModelTest, BertClassifierEqualsTheReference) {
  ArchitectureConfig config = TinyBertConfig();
  config.head = ModelHead::kSequenceClassification;
  config.num_labels = 3;
  config.labels = {"a", "b", "c"};
  const auto weights = RandomWeights(config);
  const auto model = BuildTinyModel(config, weights);
  EXPECT_EQ(model->description().labels, config.labels);
  const auto ids = RandomIds(5, config.vocab_size);
  const auto output = model->Forward({1, 5, ids});
  ASSERT_TRUE(output);
  ExpectNear(output->logits->values, RunReference(config, weights, ids).logits.front());
}

double Cosine(std::span<const float> a, std::span<const double> b) {
  double ab = 0.0, aa = 0.0, bb = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += a[i] * b[i];
    aa += double{a[i]} * a[i];
    bb += b[i] * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

// What a quantized model computes with: linear matrices through the scalar codecs, the matrices
// that quantization leaves alone rounded to bf16.
TinyWeights Requantized(const ArchitectureConfig& config, TinyWeights weights,
                        QuantizationType quantization) {
  for (const TensorSpec& spec : TensorSpecs(config)) {
    std::vector<float>& values = weights.at(spec.name);
    if (spec.role == TensorRole::kVector) continue;
    if (spec.role != TensorRole::kLinear) {
      for (float& x : values) x = ToFloat(ToBFloat16(x));
    } else if (quantization == QuantizationType::kInt8) {
      const auto cols = static_cast<std::size_t>(spec.shape[1]);
      std::vector<std::int8_t> codes(cols);
      for (std::size_t i = 0; i < values.size(); i += cols) {
        const auto row = std::span(values).subspan(i, cols);
        quant::Int8DecodeRowReference(codes, quant::Int8EncodeRowReference(row, codes), row);
      }
    } else {
      const std::int64_t n = std::ssize(values);
      std::vector<std::uint8_t> packed(static_cast<std::size_t>(quant::Nf4PackedBytes(n)));
      std::vector<float> absmax(static_cast<std::size_t>(quant::Nf4Blocks(n)));
      std::vector<std::uint8_t> codes(absmax.size());
      std::vector<float> nested(static_cast<std::size_t>(quant::Nf4NestedBlocks(n)));
      quant::Nf4EncodeReference(values, packed, absmax);
      const float offset = quant::Nf4NestReference(absmax, codes, nested);
      quant::Nf4DecodeReference({n, packed, {}, codes, nested, offset}, 0, values);
    }
  }
  return weights;
}

void ExpectCloseToReference(const ArchitectureConfig& config, const TinyWeights& stored,
                            const TinyWeights& computed, QuantizationType quantization, DType dtype,
                            double least_cosine) {
  const auto ids = RandomIds(9, config.vocab_size);
  const auto expected = RunReference(config, computed, ids);
  const Rows& rows = config.family == ModelFamily::kBert ? expected.hidden : expected.logits;
  BuildInput input = MakeBuildInput(config, MakeSource(config, stored, dtype));
  input.weights.quantization = quantization;
  const auto model = BuildModel(std::move(input));
  ASSERT_TRUE(model) << model.error().ToString();
  const auto output = (*model)->Forward({1, 9, ids});
  ASSERT_TRUE(output) << output.error().ToString();
  const Tensor& tensor = output->logits ? *output->logits : *output->last_hidden_state;
  const auto last = std::span(tensor.values).last(rows.back().size());
  EXPECT_GT(Cosine(last, rows.back()), least_cosine)
      << config.architecture << " " << QuantizationTypeName(quantization) << " "
      << DTypeName(dtype);
}

// Odd widths on purpose: NF4 blocks cross the row ends.
TEST(ModelTest, EveryStorageStaysCloseToTheReference) {
  for (ArchitectureConfig config : {TinyBertConfig(), TinyLlamaConfig(), TinyPhiConfig()}) {
    config.hidden_size = config.family == ModelFamily::kBert ? 36 : 45;
    config.intermediate_size = 77;
    const auto weights = RandomWeights(config);
    using enum QuantizationType;
    ExpectCloseToReference(config, weights, weights, kNone, DType::kF64, 0.9999999);
    ExpectCloseToReference(config, weights, weights, kNone, DType::kF16, 0.9999);
    ExpectCloseToReference(config, weights, weights, kNone, DType::kBF16, 0.9995);
    ExpectCloseToReference(config, weights, weights, kFp16, DType::kF32, 0.9999);
    ExpectCloseToReference(config, weights, weights, kBFloat16, DType::kF32, 0.9995);
    for (QuantizationType quantization : {kInt8, kInt4}) {
      ExpectCloseToReference(config, weights, Requantized(config, weights, quantization),
                             quantization, DType::kF32, 0.999);
    }
  }
}

TEST(ModelTest, BlockTypesAreUsedAsStored) {
  ArchitectureConfig config = TinyLlamaConfig();
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.num_heads = 4;
  config.head_dim = config.rotary_dim = 16;
  const auto weights = RandomWeights(config);
  const auto model = BuildModel(MakeBuildInput(config, MakeSource(config, weights, DType::kQ8_0)));
  ASSERT_TRUE(model) << model.error().ToString();
  const auto ids = RandomIds(6, config.vocab_size);
  const auto expected = RunReference(config, weights, ids).logits.back();
  const auto output = (*model)->Forward({1, 6, ids});
  EXPECT_GT(Cosine(std::span(output->logits->values).last(expected.size()), expected), 0.999);
}

TEST(ModelTest, ForwardRefusesBadInput) {
  const auto model = BuildTinyModel(TinyBertConfig(), RandomWeights(TinyBertConfig()));
  const std::vector<TokenId> ids = {1, 2, 3, 4};
  const std::vector<TokenId> bad = {1, 53, 3, 4};
  const std::vector<std::uint8_t> mask = {1, 1, 1};
  const std::vector<TokenId> types = {0, 0, 2, 0};
  const auto error = [&](const ForwardInput& input) {
    const auto output = model->Forward(input);
    return output ? std::string() : output.error().ToString();
  };
  EXPECT_EQ(error({2, 2, ids}), "");
  EXPECT_THAT(error({0, 4, {}}), HasSubstr("at least 1"));
  EXPECT_THAT(error({2, 3, ids}), HasSubstr("input_ids has 4 values"));
  EXPECT_THAT(error({std::int64_t{1} << 40, std::int64_t{1} << 40, ids}), HasSubstr("values"));
  EXPECT_THAT(error({2, 2, bad}), HasSubstr("input_ids[1] is 53; valid are 0 to 52"));
  EXPECT_THAT(error({2, 2, ids, mask}), HasSubstr("attention_mask"));
  EXPECT_THAT(error({2, 2, ids, {}, types}), HasSubstr("token_type_ids[2]"));
  const std::vector<TokenId> many(41);
  EXPECT_THAT(error({1, 41, many}), AllOf(HasSubstr("41"), HasSubstr("40")));
}

}  // namespace
}  // namespace mdsa::engine
