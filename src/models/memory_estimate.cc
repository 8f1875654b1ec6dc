#include "models/memory_estimate.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>

#include "base/checked_math.h"
#include "base/error.h"
#include "engine/cpu_ops.h"
#include "engine/runner.h"
#include "engine/tensor_check.h"
#include "engine/weight_convert.h"
#include "engine/weight_layout.h"
#include "models/parameter_count.h"

namespace mdsa {
namespace {

using Count = std::uint64_t;

constexpr Count kFloatBytes = 4;  // the engine keeps activations, keys and values in fp32
// Absurd sizes come out as "more than there is", never as a small number. An eighth of the range,
// so that the sum of an estimate's parts does not wrap either.
constexpr Count kTooMuch = std::numeric_limits<Count>::max() / 8;

Count Product(std::initializer_list<Count> factors) {
  Count product = 1;
  for (const Count factor : factors) product = CheckedMul(product, factor).value_or(kTooMuch);
  return std::min(product, kTooMuch);
}

Count Sum(std::initializer_list<Count> terms) {
  Count sum = 0;
  for (const Count term : terms) sum = std::min(sum + term, kTooMuch);
  return sum;
}

// Sizes of a validated configuration are not negative.
Count ToCount(std::int64_t size) { return static_cast<Count>(size); }

struct WeightBytes {
  Count stored = 0;
  Count largest_source = 0;
};

Result<WeightBytes> SumWeights(const Checkpoint& checkpoint, const ModelConfig& config) {
  const engine::WeightOptions options = WeightOptionsOf(config);
  WeightBytes bytes;
  const auto add = [&](const engine::TensorSpec& spec, const TensorInfo& tensor) -> Status {
    bytes.stored = Sum({bytes.stored, engine::StoredBytes(spec, tensor.dtype, options)});
    bytes.largest_source = std::max<Count>(bytes.largest_source, tensor.bytes.size());
    return {};
  };
  MDSA_TRY(engine::VisitTensors(*checkpoint.tensors(), checkpoint.config(), add));
  return bytes;
}

// The workspace of one forward pass on this many threads, and what comes beside it: one row of
// logits, or, where no cache is kept, the keys and values of one layer.
Count ScratchBytes(const ArchitectureConfig& config, Count tokens, Count batch_size, int threads) {
  // A decoder can leave off anywhere; an encoder sees a sequence as a whole.
  const Count pass_rows = ToCount(engine::kMaxPassRows);
  const Count most = config.family == ModelFamily::kBert ? std::max(tokens, pass_rows) : pass_rows;
  const Count rows = std::min(Product({tokens, batch_size}), most);
  const Count queries = Product({ToCount(config.num_heads), ToCount(config.head_dim)});
  const Count keys = Product({ToCount(config.num_kv_heads), ToCount(config.head_dim)});
  const Count gates = config.family == ModelFamily::kLlama ? 2 : 1;
  const Count row_floats =
      Sum({Product({2, ToCount(config.hidden_size)}), Product({2, queries}), Product({2, keys}),
           Product({gates, ToCount(config.intermediate_size)}), ToCount(config.rotary_dim)});
  const Count beside =
      config.head == ModelHead::kCausalLm ? ToCount(config.vocab_size) : Product({2, keys, tokens});
  return Sum({Product({Sum({Product({row_floats, rows}), beside}), kFloatBytes}),
              engine::CpuScratchBytes(config, static_cast<std::int64_t>(rows), threads)});
}

double BytesPerParameter(const ModelConfig& config) {
  switch (config.quantization) {
    case QuantizationType::kNone:
      return config.tier == ModelTier::kTier1 ? 4.0 : 2.0;
    case QuantizationType::kFp16:
    case QuantizationType::kBFloat16:
      return 2.0;
    case QuantizationType::kInt8:
      return 1.0;
    case QuantizationType::kInt4:
      return 0.5;
  }
  return 4.0;
}

}  // namespace

engine::WeightOptions WeightOptionsOf(const ModelConfig& config) {
  engine::WeightOptions options;
  options.quantization = config.quantization;
  if (config.torch_dtype == "float32") options.unquantized_dtype = DType::kF32;
  if (config.torch_dtype == "float16") options.unquantized_dtype = DType::kF16;
  if (config.torch_dtype == "bfloat16") options.unquantized_dtype = DType::kBF16;
  return options;
}

Result<MemoryEstimate> EstimateFromCheckpoint(const Checkpoint& checkpoint,
                                              const ModelConfig& config, int threads) {
  const ArchitectureConfig& architecture = checkpoint.config();
  auto weights = SumWeights(checkpoint, config);
  if (!weights) {
    return std::unexpected(std::move(weights).error().AddContext(checkpoint.path().string()));
  }
  const Count tokens = ToCount(std::min(config.max_length, architecture.max_position_embeddings));
  MemoryEstimate estimate;
  estimate.weights_bytes = weights->stored;
  if (architecture.head == ModelHead::kCausalLm) {
    estimate.kv_bytes_per_token =
        Product({2, ToCount(architecture.num_layers), ToCount(architecture.num_kv_heads),
                 ToCount(architecture.head_dim), kFloatBytes});
    estimate.kv_bytes = Product({estimate.kv_bytes_per_token, tokens});
  }
  estimate.scratch_bytes = ScratchBytes(architecture, tokens, ToCount(config.batch_size), threads);
  estimate.peak_load_bytes =
      Sum({weights->stored, Product({ToCount(threads), weights->largest_source})});
  return estimate;
}

Result<std::uint64_t> LoadBytes(const Checkpoint& checkpoint, const ModelConfig& config,
                                int threads) {
  const engine::WeightOptions options = WeightOptionsOf(config);
  Count allocated = 0;
  Count scratch = 0;
  const auto add = [&](const engine::TensorSpec& spec, const TensorInfo& tensor) -> Status {
    const engine::WeightLayout layout = engine::LayoutOf(spec, tensor.dtype, options);
    if (engine::StaysMapped(spec, tensor, layout)) return {};
    allocated = Sum({allocated, layout.allocated_bytes()});
    scratch = std::max<Count>(scratch, engine::ConvertScratchBytes(layout));
    return {};
  };
  auto visited = engine::VisitTensors(*checkpoint.tensors(), checkpoint.config(), add);
  if (!visited) {
    return std::unexpected(std::move(visited).error().AddContext(checkpoint.path().string()));
  }
  return Sum({allocated, Product({ToCount(threads), scratch})});
}

MemoryEstimate EstimateFromName(const ModelConfig& config) {
  const auto parameters = static_cast<double>(GuessParameterCount(config.model_name, config.tier));
  MemoryEstimate estimate;
  estimate.approximate = true;
  estimate.weights_bytes = static_cast<Count>(parameters * BytesPerParameter(config));
  estimate.peak_load_bytes = estimate.weights_bytes;
  return estimate;
}

}  // namespace mdsa
