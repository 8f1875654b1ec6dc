// The rotary position parameters of config.json, in the spellings of all transformers versions.
#pragma once

#include "formats/architecture_config.h"
#include "formats/json.h"
#include "mdsa/result.h"

namespace mdsa {

// Sets rope_theta, rope_scaling and rotary_dim of `config`, whose sizes are already read.
// `rope_scaling`, where it is given and not empty, wins over `rope_parameters`; a value inside wins
// over the same key at the top.
Status ParseHfRope(const JsonObject& root, double default_partial_rotary_factor,
                   ArchitectureConfig& config);

}  // namespace mdsa
