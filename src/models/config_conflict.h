// Whether two configs ask for different models under one id.
#pragma once

#include <string_view>

#include "mdsa/model_config.h"
#include "mdsa/result.h"

namespace mdsa {

// kFailedPrecondition naming the first field that makes `wanted` load differently from `present`:
// model_name, device (as resolved), quantization, torch_dtype, max_length or cache_dir.
Status CheckSameModel(std::string_view model_id, const ModelConfig& present,
                      const ModelConfig& wanted);

}  // namespace mdsa
