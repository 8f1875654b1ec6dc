// From tensors to a model that computes. The models layer opens files and decides; this builds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_account.h"
#include "base/thread_pool.h"
#include "formats/architecture_config.h"
#include "formats/pooling_config.h"
#include "formats/tensor_source.h"
#include "mdsa/model.h"
#include "mdsa/model_config.h"

namespace mdsa::engine {

// What part a tensor plays, which decides how it is stored.
enum class TensorRole : std::uint8_t {
  kLinear,     // matrix of a linear layer that quantization converts
  kEmbedding,  // look-up table; with tied heads also the output matrix
  kHead,       // output matrix that quantization leaves alone
  kVector,     // norm weights and biases: always fp32 in memory
};

// One tensor of a family, by its Hugging Face name without the optional prefix of head models.
struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  TensorRole role = TensorRole::kVector;
  bool required = true;
};

// The single list of tensors that a model of this description has: used by load, estimate, quantize
// and inspect.
std::vector<TensorSpec> TensorSpecs(const ArchitectureConfig& config);

// The tensor that a spec's name means: with or without the prefix of head models ("bert.",
// "model."), and under BERT's old names (gamma, beta). nullptr if the source has none.
const TensorInfo* FindTensor(const TensorSource& source, ModelFamily family, std::string_view name);

struct WeightOptions {
  QuantizationType quantization = QuantizationType::kNone;
  // Storage of matrices that quantization leaves alone; nullopt: as stored (fp32 becomes bf16 in an
  // INT4 or INT8 model). kF32, kF16 or kBF16.
  std::optional<DType> unquantized_dtype;
};

// Bytes of one tensor once loaded, packed parts and scales together, without allocation
// granularity.
std::uint64_t StoredBytes(const TensorSpec& spec, DType source_dtype, const WeightOptions& options);

struct BuildInput {
  std::shared_ptr<const TensorSource> tensors;  // kept as long as the model maps it
  ArchitectureConfig config;
  std::optional<PoolingConfig> pooling;
  WeightOptions weights;
  std::shared_ptr<const Tokenizer> tokenizer;  // may be null
  std::int64_t max_length = 0;  // tokens of prompt and answer together; 0: the model's context
  std::int64_t batch_size = 1;  // texts per forward pass of Embed and Classify
  std::shared_ptr<MemoryAccount> account;  // pays for the model's calls; may be null
  std::shared_ptr<ThreadPool> compute;     // runs the forward passes; shared by all models
  int load_threads = 1;
  std::stop_token stop;  // kCancelled once requested
  // Source bytes done so far; one call at a time, never falling, on a thread of the load. What it
  // throws ends the load as kInternal.
  std::function<void(std::uint64_t bytes_done)> on_progress;
};

// What ValidateArchitectureConfig leaves to the families: kUnsupported for a head that the family
// has not. BuildModel asks first.
Status CheckArchitecture(const ArchitectureConfig& config);

// Checks every tensor's presence and shape before the first allocation (errors name the tensor, the
// shape found and the shape expected), then converts tensor by tensor on load_threads threads.
Result<std::shared_ptr<Model>> BuildModel(BuildInput input);

}  // namespace mdsa::engine
