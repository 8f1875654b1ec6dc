// The block-quantized types of GGUF files: fixed-size packed structs and their scalar decoders.
//
// Source: ggml's reference dequantization; tested against the `gguf` Python package.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/float16.h"
#include "formats/dtype.h"

namespace mdsa::quant {

// value = (q - 8) * d; byte j: low nibble element j, high nibble element j + 16.
struct BlockQ4_0 {
  static constexpr std::int64_t kElements = 32;
  Float16 d;
  std::array<std::uint8_t, 16> qs;
};
static_assert(sizeof(BlockQ4_0) == 18);

// value = q * d + m; nibbles as in Q4_0.
struct BlockQ4_1 {
  static constexpr std::int64_t kElements = 32;
  Float16 d;
  Float16 m;
  std::array<std::uint8_t, 16> qs;
};
static_assert(sizeof(BlockQ4_1) == 20);

// value = (q - 16) * d; bit j of the little-endian word qh is the fifth bit of element j.
struct BlockQ5_0 {
  static constexpr std::int64_t kElements = 32;
  Float16 d;
  std::array<std::uint8_t, 4> qh;
  std::array<std::uint8_t, 16> qs;
};
static_assert(sizeof(BlockQ5_0) == 22);

// value = q * d + m.
struct BlockQ5_1 {
  static constexpr std::int64_t kElements = 32;
  Float16 d;
  Float16 m;
  std::array<std::uint8_t, 4> qh;
  std::array<std::uint8_t, 16> qs;
};
static_assert(sizeof(BlockQ5_1) == 24);

// value = q * d.
struct BlockQ8_0 {
  static constexpr std::int64_t kElements = 32;
  Float16 d;
  std::array<std::int8_t, 32> qs;
};
static_assert(sizeof(BlockQ8_0) == 34);

// Eight sub-blocks of 32, each with a 6-bit scale and minimum packed in `scales`:
// value = d * scale * q - dmin * minimum. Bytes 32p..32p+31 hold sub-block 2p low, 2p + 1 high.
struct BlockQ4K {
  static constexpr std::int64_t kElements = 256;
  Float16 d;
  Float16 dmin;
  std::array<std::uint8_t, 12> scales;
  std::array<std::uint8_t, 128> qs;
};
static_assert(sizeof(BlockQ4K) == 144);

// As Q4_K with a fifth bit: bit b of qh[l] belongs to element l of sub-block b.
struct BlockQ5K {
  static constexpr std::int64_t kElements = 256;
  Float16 d;
  Float16 dmin;
  std::array<std::uint8_t, 12> scales;
  std::array<std::uint8_t, 32> qh;
  std::array<std::uint8_t, 128> qs;
};
static_assert(sizeof(BlockQ5K) == 176);

// value = (q - 32) * d * scales[element / 16]; see the decoder for the bit layout.
struct BlockQ6K {
  static constexpr std::int64_t kElements = 256;
  std::array<std::uint8_t, 128> ql;
  std::array<std::uint8_t, 64> qh;
  std::array<std::int8_t, 16> scales;
  Float16 d;
};
static_assert(sizeof(BlockQ6K) == 210);

// Scalar reference: decodes whole blocks of `dtype` (one of the kQ types). out.size() is a multiple
// of the block; `blocks` points to out.size() / block_elements packed blocks, with no alignment
// requirement.
void DecodeBlocksReference(DType dtype, const std::byte* blocks, std::span<float> out);

}  // namespace mdsa::quant
