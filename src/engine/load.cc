#include "engine/load.h"

#include <memory>
#include <utility>

#include "base/error.h"
#include "engine/cpu_ops.h"
#include "engine/runner.h"
#include "engine/weight_loader.h"

namespace mdsa::engine {

Status CheckArchitecture(const ArchitectureConfig& config) {
  const bool bert = config.family == ModelFamily::kBert;
  if (!bert && config.head == ModelHead::kSequenceClassification) {
    return Err(ErrorCode::kUnsupported,
               "{}: sequence classification is supported for the bert family only",
               config.architecture);
  }
  if (bert && config.head == ModelHead::kCausalLm) {
    return Err(ErrorCode::kUnsupported, "{}: a bert model with a language model head",
               config.architecture);
  }
  if (bert && config.num_kv_heads != config.num_heads) {
    return Err(ErrorCode::kUnsupported, "bert: {} key and value heads beside {} heads",
               config.num_kv_heads, config.num_heads);
  }
  return {};
}

Result<std::shared_ptr<Model>> BuildModel(BuildInput input) {
  MDSA_TRY(CheckArchitecture(input.config));
  Runner::Parts parts;
  {
    WeightLoader loader(input);
    MDSA_ASSIGN(parts.weights, loader.Load());
  }
  parts.config = std::move(input.config);
  parts.pooling = input.pooling;
  parts.ops = MakeCpuOps(std::move(input.compute));
  parts.account = std::move(input.account);
  parts.quantization = input.weights.quantization;
  parts.max_length = input.max_length;
  parts.batch_size = input.batch_size;
  return std::make_shared<Model>(std::make_unique<const Runner>(std::move(parts)),
                                 std::move(input.tokenizer));
}

}  // namespace mdsa::engine
