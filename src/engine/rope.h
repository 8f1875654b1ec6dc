// Frequencies of the rotary position embedding, with the scalings of long-context checkpoints.
//
// inv_freq[i] = theta^(-2i/d) over d = rotary_dim, then changed as RopeScaling says (formulas:
// transformers' modeling_rope_utils; linear: Chen et al. 2023, dynamic: NTK-aware, YaRN: Peng et
// al. 2023, llama3: Llama 3.1).
#pragma once

#include <cstdint>
#include <vector>

#include "formats/architecture_config.h"

namespace mdsa::engine {

struct RopeFrequencies {
  std::vector<float> inverse;  // [rotary_dim / 2]
  float scale = 1.0f;          // factor of cos and sin (YaRN's attention factor)
};

// `length`: positions 0..length - 1 are in use; only the dynamic scaling depends on it.
RopeFrequencies ComputeRopeFrequencies(const ArchitectureConfig& config, std::int64_t length);

// Most tokens that positions are defined for: the trained context, stretched by those scalings
// whose checkpoints give the unstretched number (linear, dynamic).
std::int64_t ContextLength(const ArchitectureConfig& config);

}  // namespace mdsa::engine
