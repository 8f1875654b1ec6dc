#include "engine/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "base/float16.h"
#include "base/page_buffer.h"
#include "engine/weight_convert.h"
#include "quant/int8.h"
#include "quant/nf4.h"
#include "support/tiny_model.h"

namespace mdsa::engine {
namespace {

using kernels::WeightFormat;
using ::testing::AllOf;
using testing::FakeTensorSource;
using ::testing::HasSubstr;
using testing::MakeBuildInput;
using testing::MakeSource;
using testing::RandomWeights;

const std::vector<ArchitectureConfig>& Configs() {
  static const std::vector<ArchitectureConfig> configs = {
      testing::TinyBertConfig(), testing::TinyLlamaConfig(), testing::TinyPhiConfig()};
  return configs;
}

std::string PrefixOf(const ArchitectureConfig& config) {
  return config.family == ModelFamily::kBert ? "bert." : "model.";
}

Error LoadError(const ArchitectureConfig& config, std::shared_ptr<const TensorSource> source) {
  auto model = BuildModel(MakeBuildInput(config, std::move(source)));
  return model ? Error(ErrorCode::kInternal, "it loaded") : model.error();
}

TEST(LoadTest, EveryMissingTensorIsNamed) {
  for (const ArchitectureConfig& config : Configs()) {
    const auto weights = RandomWeights(config);
    for (const TensorSpec& spec : TensorSpecs(config)) {
      auto source = MakeSource(config, weights);
      source->Remove(spec.name);
      auto model = BuildModel(MakeBuildInput(config, source));
      EXPECT_EQ(model.has_value(), !spec.required) << spec.name;
      if (model) continue;
      EXPECT_EQ(model.error().code(), ErrorCode::kInvalidFormat);
      EXPECT_THAT(model.error().ToString(), HasSubstr(spec.name));
    }
  }
}

TEST(LoadTest, EveryWrongShapeIsNamedWithBothShapes) {
  for (const ArchitectureConfig& config : Configs()) {
    const auto weights = RandomWeights(config);
    for (const TensorSpec& spec : TensorSpecs(config)) {
      auto source = MakeSource(config, weights);
      source->Mutable(spec.name).shape.back() += 1;
      const Error error = LoadError(config, source);
      EXPECT_EQ(error.code(), ErrorCode::kInvalidFormat);
      EXPECT_THAT(error.ToString(), AllOf(HasSubstr(spec.name),
                                          HasSubstr(std::to_string(spec.shape.back() + 1) + "]"),
                                          HasSubstr(std::to_string(spec.shape.back()) + "]")));
    }
  }
}

TEST(LoadTest, ElementTypesThatAreNoNumbersOrDoNotFitAreRefused) {
  const ArchitectureConfig config = testing::TinyLlamaConfig();
  auto source = MakeSource(config, RandomWeights(config));
  const std::vector<std::byte> bytes(40 * 40);
  source->AddBytes("layers.0.self_attn.q_proj.weight", {40, 40}, DType::kU8, bytes);
  EXPECT_EQ(LoadError(config, source).code(), ErrorCode::kUnsupported);
  source->AddBytes("layers.0.self_attn.q_proj.weight", {40, 40}, DType::kQ8_0, bytes);
  EXPECT_THAT(LoadError(config, source).ToString(), HasSubstr("blocks of 32"));
  source->AddBytes("layers.0.self_attn.q_proj.weight", {40, 40}, DType::kF32, bytes);
  EXPECT_THAT(LoadError(config, source).ToString(), HasSubstr("1600 bytes"));
}

TEST(LoadTest, AConfigThatClaimsBillionsOfLayersFailsAtTheFirstMissingOne) {
  ArchitectureConfig config = testing::TinyLlamaConfig();
  auto source = MakeSource(config, RandomWeights(config));
  config.num_layers = std::numeric_limits<std::int32_t>::max();
  EXPECT_THAT(LoadError(config, source).ToString(), HasSubstr("layers.2."));
}

TEST(LoadTest, PrefixesAndOldNamesAreUnderstoodAndBuffersIgnored) {
  const std::vector<TokenId> ids = {1, 2, 3};
  for (const ArchitectureConfig& config : Configs()) {
    const auto weights = RandomWeights(config);
    auto plain = BuildModel(MakeBuildInput(config, MakeSource(config, weights)));
    ASSERT_TRUE(plain);
    auto source = MakeSource(config, weights, DType::kF32, PrefixOf(config));
    source->Add(PrefixOf(config) + "embeddings.position_ids", {1, 2}, std::array{0.0f, 1.0f});
    for (const TensorInfo& tensor : source->tensors()) {
      auto& name = const_cast<std::string&>(tensor.name);
      if (name.ends_with("LayerNorm.weight")) name.replace(name.size() - 6, 6, "gamma");
      if (name.ends_with("LayerNorm.bias")) name.replace(name.size() - 4, 4, "beta");
    }
    auto prefixed = BuildModel(MakeBuildInput(config, source));
    ASSERT_TRUE(prefixed) << prefixed.error().ToString();
    const auto a = (*plain)->Forward({1, 3, ids});
    const auto b = (*prefixed)->Forward({1, 3, ids});
    const auto& tensor = [](const ForwardOutput& o) -> const Tensor& {
      return o.logits ? *o.logits : *o.last_hidden_state;
    };
    EXPECT_EQ(tensor(*a).values, tensor(*b).values);
  }
}

TEST(LoadTest, ProgressNeverFallsAndEndsAtTheSourceBytes) {
  const ArchitectureConfig config = testing::TinyPhiConfig();
  auto source = MakeSource(config, RandomWeights(config));
  std::uint64_t total = 0;
  for (const TensorInfo& tensor : source->tensors()) total += tensor.bytes.size();
  BuildInput input = MakeBuildInput(config, source);
  input.load_threads = 4;
  input.weights.quantization = QuantizationType::kInt4;
  std::vector<std::uint64_t> seen;
  input.on_progress = [&](std::uint64_t bytes) { seen.push_back(bytes); };
  ASSERT_TRUE(BuildModel(std::move(input)));
  EXPECT_TRUE(std::ranges::is_sorted(seen));
  EXPECT_EQ(seen.back(), total);
  EXPECT_EQ(seen.size(), source->tensors().size());
}

TEST(LoadTest, AProgressCallbackThatThrowsEndsTheLoadWithItsWords) {
  const ArchitectureConfig config = testing::TinyLlamaConfig();
  const auto source = MakeSource(config, RandomWeights(config));
  for (const int threads : {1, 4}) {
    BuildInput input = MakeBuildInput(config, source);
    input.load_threads = threads;
    std::atomic<int> calls = 0;
    input.on_progress = [&](std::uint64_t) {
      if (++calls == 3) throw std::runtime_error("the window is closed");
    };
    const auto model = BuildModel(std::move(input));
    ASSERT_FALSE(model);
    EXPECT_THAT(model.error().ToString(), HasSubstr("threw: the window is closed"));
    EXPECT_EQ(calls, 3);
  }
}

// Each call but the last returns only when the other thread has converted one more tensor, which it
// can do only if no lock is held.
TEST(LoadTest, AProgressCallbackHoldsNobodyUp) {
  const ArchitectureConfig config = testing::TinyLlamaConfig();
  const auto source = MakeSource(config, RandomWeights(config));
  BuildInput input = MakeBuildInput(config, source);
  input.load_threads = 2;
  input.weights.quantization = QuantizationType::kInt8;
  std::mutex mutex;
  std::vector<std::uint64_t> seen;
  const std::size_t all = source->tensors().size();
  input.on_progress = [&](std::uint64_t bytes) {
    EXPECT_TRUE(mutex.try_lock());  // one call at a time
    seen.push_back(bytes);
    while (seen.size() == 1 && source->released().size() < all) std::this_thread::yield();
    mutex.unlock();
  };
  ASSERT_TRUE(BuildModel(std::move(input)));
  EXPECT_EQ(seen.size(), all);
  EXPECT_TRUE(std::ranges::is_sorted(seen));
}

TEST(LoadTest, CanBeCancelledAtEveryTensor) {
  const ArchitectureConfig config = testing::TinyLlamaConfig();
  auto source = MakeSource(config, RandomWeights(config));
  for (int threads : {1, 3}) {
    for (std::size_t at = 0; at <= source->tensors().size(); ++at) {
      std::stop_source stop;
      if (at == 0) stop.request_stop();
      BuildInput input = MakeBuildInput(config, source);
      input.load_threads = threads;
      input.weights.quantization = QuantizationType::kInt8;
      input.stop = stop.get_token();
      std::size_t done = 0;
      input.on_progress = [&](std::uint64_t) {
        if (++done == at) stop.request_stop();
      };
      const auto model = BuildModel(std::move(input));
      ASSERT_FALSE(model);
      EXPECT_EQ(model.error().code(), ErrorCode::kCancelled);
      EXPECT_EQ(done, at);
    }
  }
}

TEST(LoadTest, WeightsThatAreNoNumbersLoadAndGiveAnErrorWhenTokensAreChosen) {
  const ArchitectureConfig config = testing::TinyLlamaConfig();
  auto weights = RandomWeights(config);
  weights["layers.0.mlp.up_proj.weight"][7] = std::nanf("");
  weights["layers.1.mlp.down_proj.weight"][3] = std::numeric_limits<float>::infinity();
  for (QuantizationType quantization :
       {QuantizationType::kNone, QuantizationType::kInt4, QuantizationType::kInt8,
        QuantizationType::kFp16, QuantizationType::kBFloat16}) {
    BuildInput input = MakeBuildInput(config, MakeSource(config, weights));
    input.weights.quantization = quantization;
    const auto model = BuildModel(std::move(input));
    ASSERT_TRUE(model);
    const auto result = (*model)->Generate(std::vector<TokenId>{1, 2}, {});
    // Block scales swallow a NaN, so a quantized model may give numbers.
    const bool keeps_the_values =
        quantization != QuantizationType::kInt4 && quantization != QuantizationType::kInt8;
    EXPECT_TRUE(!result || !keeps_the_values) << QuantizationTypeName(quantization);
    if (!result) {
      EXPECT_EQ(result.error().code(), ErrorCode::kInvalidFormat);
    }
  }
}

TEST(LoadTest, SourcePagesAreReleasedExceptWhereTheyAreMapped) {
  const ArchitectureConfig config = testing::TinyLlamaConfig();
  auto source = MakeSource(config, RandomWeights(config), DType::kBF16);
  auto model = BuildModel(MakeBuildInput(config, source));
  ASSERT_TRUE(model);
  for (const std::string& name : source->released()) EXPECT_THAT(name, HasSubstr("norm"));
  EXPECT_EQ(source.use_count(), 2);  // the model maps it

  auto converted = MakeSource(config, RandomWeights(config), DType::kBF16);
  BuildInput input = MakeBuildInput(config, converted);
  input.weights.unquantized_dtype = DType::kF16;
  auto other = BuildModel(std::move(input));
  ASSERT_TRUE(other);
  EXPECT_EQ(converted->released().size(), converted->tensors().size());
  EXPECT_EQ(converted.use_count(), 1);
}

TEST(LoadTest, UnalignedTensorsAreCopied) {
  const ArchitectureConfig config = testing::TinyLlamaConfig();
  const auto weights = RandomWeights(config);
  auto source = std::make_shared<FakeTensorSource>();
  for (const TensorSpec& spec : TensorSpecs(config)) {
    source->Add(spec.name, spec.shape, weights.at(spec.name), DType::kF32, 1);
  }
  const auto model = BuildModel(MakeBuildInput(config, source));
  ASSERT_TRUE(model);
  EXPECT_EQ(source.use_count(), 1);
  const auto aligned = BuildModel(MakeBuildInput(config, MakeSource(config, weights)));
  const std::vector<TokenId> ids = {5, 9};
  EXPECT_EQ((*model)->Forward({1, 2, ids})->logits->values,
            (*aligned)->Forward({1, 2, ids})->logits->values);
}

TEST(LoadTest, StoredBytesFollowRoleAndOptions) {
  const TensorSpec linear = {"w", {10, 129}, TensorRole::kLinear};
  const TensorSpec head = {"h", {10, 128}, TensorRole::kHead};
  const TensorSpec vector = {"v", {10}, TensorRole::kVector};
  const auto bytes = [](const TensorSpec& spec, DType dtype, QuantizationType quantization,
                        std::optional<DType> unquantized = {}) {
    return StoredBytes(spec, dtype, {quantization, unquantized});
  };
  using enum QuantizationType;
  EXPECT_EQ(bytes(linear, DType::kF32, kInt4), 645u + 21u + 4u);
  EXPECT_EQ(bytes(linear, DType::kF32, kInt8), 1290u + 40u);
  EXPECT_EQ(bytes(linear, DType::kF32, kFp16), 2580u);
  EXPECT_EQ(bytes(linear, DType::kF64, kNone), 5160u);
  EXPECT_EQ(bytes(head, DType::kF32, kInt4), 2560u);
  EXPECT_EQ(bytes(head, DType::kF32, kInt4, DType::kF32), 5120u);
  EXPECT_EQ(bytes(head, DType::kQ8_0, kInt8), 1360u);
  EXPECT_EQ(bytes(head, DType::kF8E4M3, kNone), 2560u);
  EXPECT_EQ(bytes(vector, DType::kBF16, kInt4), 40u);
}

// Slices, odd sizes and row orders against the scalar references over the whole tensor.
struct ConvertCase {
  std::int64_t rows, cols;
};
class ConvertTest : public ::testing::TestWithParam<ConvertCase> {
 protected:
  void SetUp() override {
    testing::RandomFloats random(3);
    values_.resize(static_cast<std::size_t>(GetParam().rows * GetParam().cols));
    for (float& x : values_) x = random.Next();
    source_.Add("w", {GetParam().rows, GetParam().cols}, values_);
  }
  kernels::WeightView Convert(QuantizationType quantization) {
    const TensorSpec spec = {"w", {GetParam().rows, GetParam().cols}, TensorRole::kLinear};
    layout_ = LayoutOf(spec, DType::kF32, {quantization, {}});
    memory_ = *PageBuffer::Allocate(layout_.allocated_bytes());
    return *ConvertTensor(*source_.Find("w"), layout_, memory_.data(), {});
  }

  FakeTensorSource source_;
  std::vector<float> values_;
  WeightLayout layout_;
  PageBuffer memory_;
};

TEST_P(ConvertTest, Nf4EqualsTheReferenceOfTheWholeTensor) {
  const kernels::WeightView view = Convert(QuantizationType::kInt4);
  const auto n = static_cast<std::int64_t>(values_.size());
  std::vector<std::uint8_t> packed(static_cast<std::size_t>(quant::Nf4PackedBytes(n)));
  std::vector<float> absmax(static_cast<std::size_t>(quant::Nf4Blocks(n)));
  std::vector<std::uint8_t> codes(absmax.size());
  std::vector<float> nested(static_cast<std::size_t>(quant::Nf4NestedBlocks(n)));
  quant::Nf4EncodeReference(values_, packed, absmax);
  const float offset = quant::Nf4NestReference(absmax, codes, nested);
  EXPECT_EQ(std::memcmp(view.data, packed.data(), packed.size()), 0);
  EXPECT_EQ(std::memcmp(view.absmax_codes, codes.data(), codes.size()), 0);
  EXPECT_EQ(std::memcmp(view.nested_absmax, nested.data(), nested.size() * 4), 0);
  EXPECT_EQ(view.absmax_offset, offset);
}

TEST_P(ConvertTest, Int8EqualsTheReferenceOfEachRow) {
  const kernels::WeightView view = Convert(QuantizationType::kInt8);
  const auto cols = static_cast<std::size_t>(GetParam().cols);
  std::vector<std::int8_t> codes(cols);
  for (std::size_t r = 0; std::cmp_less(r, GetParam().rows); ++r) {
    const float scale = quant::Int8EncodeRowReference({values_.data() + r * cols, cols}, codes);
    ASSERT_EQ(view.row_scale[r], scale);
    ASSERT_EQ(std::memcmp(view.data + r * cols, codes.data(), cols), 0);
  }
}

TEST_P(ConvertTest, InterleavedRowsAreUndone) {
  const std::int64_t rows = GetParam().rows, cols = GetParam().cols;
  if (rows % 6 != 0) return;  // three heads of an even number of rows
  // Stored row 2j of a head is row j, stored row 2j + 1 is row D/2 + j.
  std::vector<float> stored;
  const std::int64_t dim = rows / 3;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t j = r % dim / 2 + (r % dim % 2) * (dim / 2) + r - r % dim;
    stored.insert(stored.end(), values_.begin() + j * cols, values_.begin() + (j + 1) * cols);
  }
  source_.Add("w", {rows, cols}, stored);
  source_.Mutable("w").row_order = RowOrder::kRopeInterleaved;
  source_.Mutable("w").heads = 3;
  const kernels::WeightView copied = Convert(QuantizationType::kNone);
  EXPECT_EQ(std::memcmp(copied.data, values_.data(), values_.size() * 4), 0);
  const kernels::WeightView halves = Convert(QuantizationType::kFp16);
  for (std::size_t i = 0; i < values_.size(); ++i) {
    ASSERT_EQ(reinterpret_cast<const Float16*>(halves.data)[i].bits, ToFloat16(values_[i]).bits);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, ConvertTest,
                         ::testing::Values(ConvertCase{1, 1}, ConvertCase{1, 63},
                                           ConvertCase{3, 65}, ConvertCase{66, 37},
                                           ConvertCase{900, 111}, ConvertCase{2, 70001},
                                           ConvertCase{1200, 128}, ConvertCase{5, 16384}));

TEST(LoadTest, MappedBytesAreTheMatricesThatStayInTheFile) {
  for (const ArchitectureConfig& config : Configs()) {
    const auto source = MakeSource(config, RandomWeights(config));
    std::uint64_t matrices = 0;
    for (const TensorInfo& tensor : source->tensors()) {
      if (tensor.shape.size() == 2) matrices += tensor.bytes.size();
    }
    BuildInput input = MakeBuildInput(config, source);
    const auto mapped = BuildModel(input);
    ASSERT_TRUE(mapped);
    EXPECT_EQ((*mapped)->mapped_bytes(), matrices);
    EXPECT_GT((*mapped)->memory_bytes(), (*mapped)->description().weight_bytes);
    input.weights.quantization = QuantizationType::kInt8;
    const auto converted = BuildModel(input);
    ASSERT_TRUE(converted);
    EXPECT_EQ((*converted)->mapped_bytes(), 0u);
    EXPECT_GT((*converted)->memory_bytes(), (*converted)->description().weight_bytes);
  }
}

}  // namespace
}  // namespace mdsa::engine
