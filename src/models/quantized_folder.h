// The folder that quantize makes: what lies in it, and whether one may be replaced.
#pragma once

#include <filesystem>

#include "mdsa/result.h"

namespace mdsa {

// Copies what belongs to a checkpoint beside config.json and the weights, as far as `source` has
// it: tokenizer, chat template, pooling, licence. kIo, kResourceExhausted for a file that is
// absurdly large.
Status CopySideFiles(const std::filesystem::path& source, const std::filesystem::path& out);

// --force on the wrong folder must not cost anybody's files: `out` is free, an empty folder, or one
// that holds a quantized model and nothing that quantize does not write itself. Everything else is
// kFailedPrecondition naming what is in the way; kInvalidArgument if `out` is `source`, lies in it
// or contains it.
Status CheckReplaceable(const std::filesystem::path& out, const std::filesystem::path& source);

}  // namespace mdsa
