// Whether two configs ask for different models under one id.
#pragma once

#include <string_view>

#include "mdsa/model_config.h"
#include "mdsa/result.h"

namespace mdsa {

// kFailedPrecondition naming the first field that makes `wanted` load differently from `present`:
// model_name, device (as resolved), quantization, torch_dtype, cache_dir, or a larger max_length.
// A smaller one, batch_size and the rest can share what is loaded.
Status CheckSameModel(std::string_view model_id, const ModelConfig& present,
                      const ModelConfig& wanted);

}  // namespace mdsa
