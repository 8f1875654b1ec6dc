// Names of tensors in GGUF files and in Hugging Face checkpoints.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "formats/architecture_config.h"

namespace mdsa {

// "blk.3.attn_q.weight" of a llama file is "model.layers.3.self_attn.q_proj.weight". nullopt for a
// tensor that a Hugging Face checkpoint of the family does not have.
// Source: the name map of the `gguf` Python package.
std::optional<std::string> HuggingFaceName(ModelFamily family, std::string_view gguf_name);

// "blk.7.attn_q.weight" -> {"7", "attn_q.weight"}: the digits of the layer and what follows. A
// view.
struct GgufBlockName {
  std::string_view layer, tensor;
};
// nullopt for any other form.
std::optional<GgufBlockName> ParseGgufBlockName(std::string_view gguf_name);

}  // namespace mdsa
