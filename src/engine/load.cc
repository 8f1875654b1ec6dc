#include "engine/load.h"

#include <memory>
#include <utility>

#include "base/error.h"
#include "engine/cpu_ops.h"
#include "engine/runner.h"
#include "engine/weight_loader.h"

namespace mdsa::engine {
namespace {

// What the configuration's own checks leave to the families.
Status CheckConfig(const ArchitectureConfig& config) {
  if (config.family != ModelFamily::kBert) {
    if (config.head == ModelHead::kSequenceClassification) {
      return Err(ErrorCode::kUnsupported,
                 "{}: sequence classification is supported for the bert family only",
                 config.architecture);
    }
    if (config.rotary_dim < 0 || config.rotary_dim % 2 != 0 ||
        config.rotary_dim > config.head_dim) {
      return Err(ErrorCode::kUnsupported,
                 "{} rotated dimensions of {} a head: an even number up to all of them is needed",
                 config.rotary_dim, config.head_dim);
    }
    return {};
  }
  if (config.head == ModelHead::kCausalLm) {
    return Err(ErrorCode::kUnsupported, "{}: a bert model with a language model head",
               config.architecture);
  }
  if (config.num_heads * config.head_dim != config.hidden_size ||
      config.num_kv_heads != config.num_heads) {
    return Err(ErrorCode::kUnsupported, "bert: {} heads of {} do not make the hidden size {}",
               config.num_heads, config.head_dim, config.hidden_size);
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<Model>> BuildModel(BuildInput input) {
  MDSA_TRY(CheckConfig(input.config));
  Runner::Parts parts;
  {
    WeightLoader loader(input);
    MDSA_ASSIGN(parts.weights, loader.Load());
  }
  parts.config = std::move(input.config);
  parts.pooling = input.pooling;
  parts.ops = MakeCpuOps(std::move(input.compute));
  parts.quantization = input.weights.quantization;
  parts.max_length = input.max_length;
  parts.batch_size = input.batch_size;
  return std::make_shared<Model>(std::make_unique<const Runner>(std::move(parts)),
                                 std::move(input.tokenizer));
}

}  // namespace mdsa::engine
