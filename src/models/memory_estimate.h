// How much memory a model will need, before it is loaded.
#pragma once

#include <cstdint>

#include "engine/load.h"
#include "mdsa/model_config.h"
#include "mdsa/model_loader.h"
#include "mdsa/result.h"
#include "models/checkpoint.h"

namespace mdsa {

// How the weights of a model of this config are stored.
engine::WeightOptions WeightOptionsOf(const ModelConfig& config);

// From the headers of an opened checkpoint and the files of its tokenizer. Errors as of
// engine::VisitTensors, naming the checkpoint. `load_threads` load at the same time, each with one
// source tensor.
Result<MemoryEstimate> EstimateFromCheckpoint(const Checkpoint& checkpoint,
                                              const ModelConfig& config, int compute_threads,
                                              int load_threads);

// What a load of the model takes from the system at most. Weights that stay mapped do not count:
// they are page cache, which the system drops when it needs memory. Errors as above.
Result<std::uint64_t> LoadBytes(const Checkpoint& checkpoint, const ModelConfig& config,
                                int threads);

// Model::call_bytes() of the loaded model.
std::uint64_t CallBytes(const Checkpoint& checkpoint, const ModelConfig& config,
                        int compute_threads);

// From the parameter count that the name suggests; marked approximate. Weights only: without a
// checkpoint's configuration nothing is known about keys, values and activations. Bytes per
// parameter: 4 as stored for a tier 1 model and 2 for the others, which is how each is published;
// FP16 and BFLOAT16 2, INT8 1, INT4 1/2.
MemoryEstimate EstimateFromName(const ModelConfig& config);

}  // namespace mdsa
