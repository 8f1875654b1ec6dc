#include "models/bitsandbytes_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <bit>

#include "quant/nf4.h"

namespace mdsa {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are written as they lie");

constexpr std::array<std::byte, 1> kRowMajor = {};  // the only weight_format there is on a CPU

// As Python's repr(float): the shortest digits that read back, never without a point or exponent.
std::string PythonRepr(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string Sibling(std::string_view weight, std::string_view name) {
  return std::string(weight.substr(0, weight.rfind('.') + 1)) + std::string(name);
}

}  // namespace

Json BitsAndBytesConfig(QuantizationType quantization) {
  const bool int4 = quantization == QuantizationType::kInt4;
  return {{"_load_in_4bit", int4},
          {"_load_in_8bit", !int4},
          {"bnb_4bit_compute_dtype", int4 ? "bfloat16" : "float32"},
          {"bnb_4bit_quant_storage", "uint8"},
          {"bnb_4bit_quant_type", int4 ? "nf4" : "fp4"},
          {"bnb_4bit_use_double_quant", int4},
          {"llm_int8_enable_fp32_cpu_offload", false},
          {"llm_int8_has_fp16_weight", false},
          {"llm_int8_skip_modules", nullptr},
          {"llm_int8_threshold", 6.0},  // for readers that round activations; ours do not
          {"load_in_4bit", int4},
          {"load_in_8bit", !int4},
          {"quant_method", "bitsandbytes"}};
}

std::string_view TorchName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "float32";
    case DType::kF16:
      return "float16";
    case DType::kBF16:
      return "bfloat16";
    default:
      return "";
  }
}

std::string Nf4QuantState(DType dtype, std::span<const std::int64_t> shape, float offset) {
  return fmt::format(R"({{"quant_type": "nf4", "blocksize": {}, "dtype": "{}", "shape": [{}], )"
                     R"("nested_blocksize": {}, "nested_dtype": "float32", "nested_offset": {}}})",
                     quant::kNf4BlockSize, TorchName(dtype), fmt::join(shape, ", "),
                     quant::kNf4NestedBlockSize, PythonRepr(offset));
}

std::vector<QuantizedPart> PartsOfNf4(std::string_view weight, std::int64_t elements,
                                      const Nf4Parts& parts) {
  const std::string name(weight);
  return {{{name, DType::kU8, {quant::Nf4PackedBytes(elements), 1}}, parts.packed},
          {{name + ".absmax", DType::kU8, {quant::Nf4Blocks(elements)}}, parts.absmax_codes},
          {{name + ".nested_absmax", DType::kF32, {quant::Nf4NestedBlocks(elements)}},
           parts.nested_absmax},
          {{name + ".nested_quant_map", DType::kF32, {std::ssize(quant::kDynamicMap)}},
           std::as_bytes(std::span(quant::kDynamicMap))},
          {{name + ".quant_map", DType::kF32, {std::ssize(quant::kNf4Table)}},
           std::as_bytes(std::span(quant::kNf4Table))},
          {{name + ".quant_state.bitsandbytes__nf4", DType::kU8, {std::ssize(parts.quant_state)}},
           std::as_bytes(std::span(parts.quant_state))}};
}

std::vector<QuantizedPart> PartsOfInt8(std::string_view weight, std::int64_t rows,
                                       std::int64_t cols, std::span<const std::byte> codes,
                                       std::span<const std::byte> scales) {
  return {{{std::string(weight), DType::kI8, {rows, cols}}, codes},
          {{Sibling(weight, "SCB"), DType::kF32, {rows}}, scales},
          {{Sibling(weight, "weight_format"), DType::kU8, {}}, kRowMajor}};
}

}  // namespace mdsa
