// How bitsandbytes and transformers spell a quantized linear layer in a checkpoint.
//
// Source: files written by transformers 5.23 with bitsandbytes 0.50.2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/dtype.h"
#include "formats/safetensors_writer.h"
#include "mdsa/model_config.h"
#include "models/json_text.h"

namespace mdsa {

// config.json's quantization_config; `quantization` is kInt4 or kInt8.
Json BitsAndBytesConfig(QuantizationType quantization);

// "float32", "float16" or "bfloat16", as torch names them; "" for other types.
std::string_view TorchName(DType dtype);

// The JSON of one NF4 weight with double quantization. `dtype` is what it had before, `offset` the
// finite mean of its scales.
std::string Nf4QuantState(DType dtype, std::span<const std::int64_t> shape, float offset);

// One tensor that stands, with others, for a quantized weight. Never owns the bytes.
struct QuantizedPart {
  SafetensorsEntry entry;
  std::span<const std::byte> bytes;
};

// The pieces of a weight [rows, cols]; spans may be empty while only names and shapes are needed.
struct Nf4Parts {
  std::span<const std::byte> packed = {};
  std::span<const std::byte> absmax_codes = {};
  std::span<const std::byte> nested_absmax = {};
  std::string_view quant_state = {};
};
std::vector<QuantizedPart> PartsOfNf4(std::string_view weight, std::int64_t elements,
                                      const Nf4Parts& parts);
// `weight` ends with ".weight".
std::vector<QuantizedPart> PartsOfInt8(std::string_view weight, std::int64_t rows,
                                       std::int64_t cols, std::span<const std::byte> codes,
                                       std::span<const std::byte> scales);

}  // namespace mdsa
