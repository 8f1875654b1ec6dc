// NormalFloat 4 as bitsandbytes stores it, with optional double quantization of the scales.
//
// Layout: the tensor is flattened row-major and cut into blocks of 64 values (the last may be
// shorter; blocks cross row boundaries). Value 2k sits in the HIGH nibble of byte k, value 2k + 1
// in the low one; an odd count is padded with code 7 (zero). Each block has one fp32 scale, its
// absmax. With double quantization the scales minus their mean (`offset`) are themselves stored as
// 8-bit codes of the "dynamic" map in blocks of 256 with one fp32 scale each. A value is
// code_table[nibble] * absmax, where absmax = dynamic_map[code] * nested_absmax[block / 256] +
// offset.
//
// Source: bitsandbytes 0.50.2, CPU backend, one thread; every rule here is tested bit for bit
// against it.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/checked_math.h"

namespace mdsa::quant {

inline constexpr std::int64_t kNf4BlockSize = 64;         // values per scale
inline constexpr std::int64_t kNf4NestedBlockSize = 256;  // scales per nested scale

extern const std::array<float, 16> kNf4Table;     // code -> value in [-1, 1]
extern const std::array<float, 256> kDynamicMap;  // 8-bit code -> value in (-1, 1]

// The fp32 midpoints of neighbours in kNf4Table, by their bits: the code of a scaled value v is the
// number of bounds below v, so a value on a bound takes the lower code; NaN takes code 15.
inline constexpr std::array<std::uint32_t, 15> kNf4BoundBits = {
    0xbf591cd8, 0xbf1c5270, 0xbeeb8480, 0xbeadea76, 0xbe703cec, 0xbe0d38bc, 0xbd3a7871, 0x3d22faff,
    0x3df64862, 0x3e5067e0, 0x3e9582d4, 0x3ec753f9, 0x3f006d04, 0x3f248daf, 0x3f5c89da};
inline constexpr int kNf4ZeroCode = 7;
// Scales below this are raised to it before values are divided by them.
inline constexpr float kNf4MinScale = 1e-38f;

constexpr std::int64_t Nf4PackedBytes(std::int64_t n) { return CeilDiv(n, 2); }
constexpr std::int64_t Nf4Blocks(std::int64_t n) { return CeilDiv(n, kNf4BlockSize); }
constexpr std::int64_t Nf4NestedBlocks(std::int64_t n) {
  return CeilDiv(Nf4Blocks(n), kNf4NestedBlockSize);
}

// Never owns. Either `absmax` (plain), or the three nested members.
struct Nf4View {
  std::int64_t count = 0;                        // values
  std::span<const std::uint8_t> packed{};        // [Nf4PackedBytes(count)]
  std::span<const float> absmax{};               // [Nf4Blocks(count)], empty if nested
  std::span<const std::uint8_t> absmax_codes{};  // [Nf4Blocks(count)]
  std::span<const float> nested_absmax{};        // [Nf4NestedBlocks(count)]
  float offset = 0.0f;
};

// fp32 scale of one block, exactly as bitsandbytes restores it (two roundings, no fused
// multiply-add).
float Nf4BlockScale(const Nf4View& view, std::int64_t block);

// Scalar reference. `packed` and `absmax` have the sizes above.
//
// A full block is multiplied by fp32(1 / max(absmax, kNf4MinScale)). The partial block that ends a
// tensor is divided by its absmax instead, and stores an absmax of at least kNf4MinScale. A block
// with a NaN has absmax NaN (the positive quiet one) and codes 15; in a block with an infinity the
// infinities have code 15 and the finite values code 7.
void Nf4EncodeReference(std::span<const float> values, std::span<std::uint8_t> packed,
                        std::span<float> absmax);
// Double quantization of the scales: returns the offset, writes codes and nested scales. The codes
// are not the nearest ones: bitsandbytes looks them up by the value rounded to 16 bits, which is
// repeated here. NaN differences have code 0 and do not enter the nested scale.
float Nf4NestReference(std::span<const float> absmax, std::span<std::uint8_t> codes,
                       std::span<float> nested_absmax);
// Decodes values [begin, begin + out.size()).
void Nf4DecodeReference(const Nf4View& view, std::int64_t begin, std::span<float> out);

}  // namespace mdsa::quant
