// Element types of tensors in checkpoints, plain and block-quantized.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace mdsa {

enum class DType : std::uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool,
  // GGUF blocks (ggml-common layout; see quant/gguf_blocks.h).
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4K,
  kQ5K,
  kQ6K,
};

struct DTypeTraits {
  std::string_view name;        // "F32", "BF16", "Q4_1", as checkpoints spell it
  std::int64_t block_elements;  // 1 for plain types
  std::int64_t block_bytes;
  bool is_float;  // stands for real numbers, block types included
};

const DTypeTraits& TraitsOf(DType dtype);
inline std::string_view DTypeName(DType dtype) { return TraitsOf(dtype).name; }

// Bytes of `elements` values; nullopt on overflow or when elements is no multiple of the block.
std::optional<std::int64_t> ByteSize(DType dtype, std::int64_t elements);

}  // namespace mdsa
