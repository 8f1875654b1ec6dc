#include "models/memory_estimate.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <ranges>
#include <string>
#include <vector>

#include "base/byte_count.h"
#include "base/error.h"
#include "engine/call_memory.h"
#include "engine/cpu_ops.h"
#include "engine/tensor_check.h"
#include "engine/weight_convert.h"
#include "engine/weight_layout.h"
#include "models/parameter_count.h"

namespace mdsa {
namespace {

using Count = std::uint64_t;

// Beside tensors and tokenizer: for each tensor its descriptions and look-up tables, and what the
// system maps around the places that are read (64 KiB at a time, see ReleasePages); for each thread
// its stack and its own part of the heap.
constexpr Count kDescriptionBytes = 2048;
constexpr Count kReadAroundBytes = 64 * 1024;
constexpr Count kThreadBytes = 256 * 1024;

// All tensors of a model; "converted" are those that do not stay mapped.
struct WeightBytes {
  Count stored = 0;
  Count mapped = 0;
  Count allocated = 0;  // of the converted ones, with alignment
  Count tensors = 0;
  std::vector<Count> sources;    // of each converted one
  std::vector<Count> scratches;  // of each conversion
};

// What so many threads hold at most, each for one tensor at a time.
Count LargestOf(std::vector<Count> sizes, int threads) {
  std::ranges::sort(sizes, std::greater());
  Count sum = 0;
  for (const Count size : sizes | std::views::take(threads)) sum = ByteSum({sum, size});
  return sum;
}

Result<WeightBytes> SumWeights(const Checkpoint& checkpoint, const ModelConfig& config) {
  const engine::WeightOptions options = WeightOptionsOf(config);
  WeightBytes bytes;
  const auto add = [&](const engine::TensorSpec& spec, const TensorInfo& tensor) -> Status {
    const engine::WeightLayout layout = engine::LayoutOf(spec, tensor.dtype, options);
    ++bytes.tensors;
    bytes.stored = ByteSum({bytes.stored, layout.stored_bytes()});
    if (engine::StaysMapped(spec, tensor, layout)) {
      bytes.mapped = ByteSum({bytes.mapped, layout.stored_bytes()});
      return {};
    }
    bytes.allocated = ByteSum({bytes.allocated, layout.allocated_bytes()});
    bytes.sources.push_back(tensor.bytes.size());
    bytes.scratches.push_back(engine::ConvertScratchBytes(layout));
    return {};
  };
  auto visited = engine::VisitTensors(*checkpoint.tensors(), checkpoint.config(), add);
  if (!visited) {
    return std::unexpected(std::move(visited).error().AddContext(checkpoint.path().string()));
  }
  return bytes;
}

// What a load allocates: not the pages of the files.
Count AllocatedAtPeak(const WeightBytes& weights, const TokenizerSize& tokenizer, int threads) {
  return ByteSum({weights.allocated, LargestOf(weights.scratches, threads), tokenizer.resident,
                  tokenizer.loading});
}

Count PeakOfLoad(const WeightBytes& weights, const TokenizerSize& tokenizer, int threads) {
  // What is around the places that are read belongs to one of these or to a mapped one.
  const Count all = LargestOf(weights.sources, std::numeric_limits<int>::max());
  const Count read =
      std::min(all, ByteSum({LargestOf(weights.sources, threads),
                             ByteProduct({weights.sources.size(), kReadAroundBytes})}));
  return ByteSum({AllocatedAtPeak(weights, tokenizer, threads), weights.mapped, read,
                  ByteProduct({weights.tensors, kDescriptionBytes}),
                  ByteProduct({static_cast<Count>(threads), kThreadBytes})});
}

engine::CallMemory CallsOf(const ArchitectureConfig& config, int threads) {
  return engine::CallMemory(config, [&config, threads](std::int64_t max_rows) {
    return engine::CpuScratchBytes(config, max_rows, threads);
  });
}

// The workspace of one forward pass, and what comes beside it: one row of logits, or, where no
// cache is kept, the keys and values of the pass.
Count ScratchBytes(const ArchitectureConfig& config, std::int64_t tokens, std::int64_t batch_size,
                   int threads) {
  const engine::CallMemory calls = CallsOf(config, threads);
  if (config.head == ModelHead::kCausalLm) {
    return ByteSum({calls.WorkspaceOf(std::min(tokens, engine::kMaxPassRows)),
                    ByteProduct({ToBytes(config.vocab_size), sizeof(float)})});
  }
  const auto all = CheckedMul(tokens, batch_size);
  return calls.Passes(all.value_or(std::numeric_limits<std::int64_t>::max()), tokens);
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
                                              const ModelConfig& config, int compute_threads,
                                              int load_threads) {
  const ArchitectureConfig& architecture = checkpoint.config();
  MDSA_ASSIGN(const WeightBytes weights, SumWeights(checkpoint, config));
  const TokenizerSize tokenizer = checkpoint.SizeOfTokenizer();
  // The cap of texts is not a matter of the cache.
  const std::int64_t tokens = engine::CallLength(architecture, std::nullopt, config.max_length);
  MemoryEstimate estimate;
  estimate.weights_bytes = weights.stored;
  estimate.mapped_bytes = weights.mapped;
  estimate.tokenizer_bytes = tokenizer.resident;
  if (architecture.head == ModelHead::kCausalLm) {
    estimate.kv_bytes_per_token =
        ByteProduct({2, ToBytes(architecture.num_layers), ToBytes(architecture.num_kv_heads),
                     ToBytes(architecture.head_dim), sizeof(float)});
    estimate.kv_bytes = ByteProduct({estimate.kv_bytes_per_token, ToBytes(tokens)});
  }
  estimate.scratch_bytes = ScratchBytes(architecture, tokens, config.batch_size, compute_threads);
  estimate.peak_load_bytes = PeakOfLoad(weights, tokenizer, load_threads);
  return estimate;
}

Result<std::uint64_t> LoadBytes(const Checkpoint& checkpoint, const ModelConfig& config,
                                int threads) {
  MDSA_ASSIGN(const WeightBytes weights, SumWeights(checkpoint, config));
  return AllocatedAtPeak(weights, checkpoint.SizeOfTokenizer(), threads);
}

std::uint64_t CallBytes(const Checkpoint& checkpoint, const ModelConfig& config,
                        int compute_threads) {
  return CallsOf(checkpoint.config(), compute_threads)
      .Ordinary(engine::CallLength(checkpoint.config(), checkpoint.pooling(), config.max_length),
                config.batch_size);
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
