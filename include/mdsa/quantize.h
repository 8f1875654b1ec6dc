// Writes a quantized copy of a checkpoint, once and for all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>

#include "mdsa/model_config.h"
#include "mdsa/model_loader.h"
#include "mdsa/result.h"

namespace mdsa {

struct QuantizeOptions {
  QuantizationType quantization = QuantizationType::kInt4;  // kInt4 or kInt8
  bool overwrite = false;  // replace `out`, if it is an empty folder or one that this made
  std::optional<std::filesystem::path> cache_dir = {};  // as in ModelLoader
  ProgressSink on_progress = {};
  std::stop_token stop = {};  // looked at many times a second
};

struct QuantizeReport {
  std::uint64_t source_bytes = 0;  // of all tensors as they were
  std::uint64_t file_bytes = 0;    // of the new model.safetensors
  std::int64_t quantized_tensors = 0;
  std::int64_t kept_tensors = 0;
};

// Makes the folder `out`: a complete Hugging Face checkpoint in bitsandbytes serialization, which
// transformers loads, with the tensors that bitsandbytes would make of the same checkpoint. The
// folder appears when it is complete; after an error or a cancel there is nothing of it. Memory
// stays near the largest tensor.
//
// `model_name` is a directory or a Hub id. kUnsupported for what cannot be written exactly: a GGUF
// file, a checkpoint that is quantized already, tensors of unknown roles. kAlreadyExists if `out`
// exists and `overwrite` is false. With it, kFailedPrecondition if `out` holds anything that this
// function does not write, kInvalidArgument if it is the model's folder, lies in it or contains it.
// Thread-safe.
Result<QuantizeReport> QuantizeCheckpoint(const std::string& model_name,
                                          const std::filesystem::path& out,
                                          const QuantizeOptions& options = {});

}  // namespace mdsa
