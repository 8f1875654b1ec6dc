#include "quant/gguf_blocks.h"

#include <cstring>

#include "base/check.h"

namespace mdsa::quant {
namespace {

struct ScaleAndMin {
  std::uint8_t scale;
  std::uint8_t minimum;
};

// Sub-block j of Q4_K and Q5_K. The first four keep their 6 bits in one byte each; the last four
// have 4 bits in bytes 8 to 11 and their upper 2 in the top of bytes 0 to 7.
ScaleAndMin SubBlockScale(const std::array<std::uint8_t, 12>& s, int j) {
  if (j < 4) {
    return {static_cast<std::uint8_t>(s[j] & 63), static_cast<std::uint8_t>(s[j + 4] & 63)};
  }
  return {static_cast<std::uint8_t>((s[j + 4] & 15) | (s[j - 4] >> 6) << 4),
          static_cast<std::uint8_t>(s[j + 4] >> 4 | (s[j] >> 6) << 4)};
}

int Nibble(std::uint8_t byte, int half) { return half == 0 ? byte & 15 : byte >> 4; }

void Decode(const BlockQ4_0& block, float* out) {
  for (int i = 0; i < 32; ++i) {
    out[i] = static_cast<float>(Nibble(block.qs[i % 16], i / 16) - 8) * ToFloat(block.d);
  }
}

void Decode(const BlockQ4_1& block, float* out) {
  for (int i = 0; i < 32; ++i) {
    const float product = static_cast<float>(Nibble(block.qs[i % 16], i / 16)) * ToFloat(block.d);
    out[i] = product + ToFloat(block.m);
  }
}

int FifthBit(const std::array<std::uint8_t, 4>& qh, int i) { return (qh[i / 8] >> (i % 8) & 1); }

void Decode(const BlockQ5_0& block, float* out) {
  for (int i = 0; i < 32; ++i) {
    const int q = Nibble(block.qs[i % 16], i / 16) | FifthBit(block.qh, i) << 4;
    out[i] = static_cast<float>(q - 16) * ToFloat(block.d);
  }
}

void Decode(const BlockQ5_1& block, float* out) {
  for (int i = 0; i < 32; ++i) {
    const int q = Nibble(block.qs[i % 16], i / 16) | FifthBit(block.qh, i) << 4;
    const float product = static_cast<float>(q) * ToFloat(block.d);
    out[i] = product + ToFloat(block.m);
  }
}

void Decode(const BlockQ8_0& block, float* out) {
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(block.qs[i]) * ToFloat(block.d);
}

void Decode(const BlockQ4K& block, float* out) {
  for (int i = 0; i < 256; ++i) {
    const int sub = i / 32;
    const auto [scale, minimum] = SubBlockScale(block.scales, sub);
    const int q = Nibble(block.qs[sub / 2 * 32 + i % 32], sub % 2);
    const float product = ToFloat(block.d) * static_cast<float>(scale) * static_cast<float>(q);
    out[i] = product - ToFloat(block.dmin) * static_cast<float>(minimum);
  }
}

void Decode(const BlockQ5K& block, float* out) {
  for (int i = 0; i < 256; ++i) {
    const int sub = i / 32;
    const auto [scale, minimum] = SubBlockScale(block.scales, sub);
    const int fifth = block.qh[i % 32] >> sub & 1;
    const int q = Nibble(block.qs[sub / 2 * 32 + i % 32], sub % 2) | fifth << 4;
    const float product = ToFloat(block.d) * static_cast<float>(scale) * static_cast<float>(q);
    out[i] = product - ToFloat(block.dmin) * static_cast<float>(minimum);
  }
}

// Each half of 128 elements is four groups of 32: groups 0 and 2 are the low and high nibbles of
// the half's first 32 bytes of ql, 1 and 3 of the next 32; group g has its upper two bits at bits
// 2g and 2g + 1 of the half's 32 bytes of qh.
void Decode(const BlockQ6K& block, float* out) {
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128;
    const int group = i % 128 / 32;
    const int l = i % 32;
    const int low = Nibble(block.ql[64 * half + 32 * (group % 2) + l], group / 2);
    const int high = block.qh[32 * half + l] >> (2 * group) & 3;
    const float scale = ToFloat(block.d) * static_cast<float>(block.scales[i / 16]);
    out[i] = scale * static_cast<float>((low | high << 4) - 32);
  }
}

template <typename Block>
void DecodeAll(const std::byte* blocks, std::span<float> out) {
  MDSA_DCHECK(out.size() % Block::kElements == 0);
  Block block;
  for (std::size_t i = 0; i < out.size(); i += Block::kElements) {
    std::memcpy(&block, blocks, sizeof(Block));
    Decode(block, out.data() + i);
    blocks += sizeof(Block);
  }
}

}  // namespace

void DecodeBlocksReference(DType dtype, const std::byte* blocks, std::span<float> out) {
  switch (dtype) {
    case DType::kQ4_0:
      return DecodeAll<BlockQ4_0>(blocks, out);
    case DType::kQ4_1:
      return DecodeAll<BlockQ4_1>(blocks, out);
    case DType::kQ5_0:
      return DecodeAll<BlockQ5_0>(blocks, out);
    case DType::kQ5_1:
      return DecodeAll<BlockQ5_1>(blocks, out);
    case DType::kQ8_0:
      return DecodeAll<BlockQ8_0>(blocks, out);
    case DType::kQ4K:
      return DecodeAll<BlockQ4K>(blocks, out);
    case DType::kQ5K:
      return DecodeAll<BlockQ5K>(blocks, out);
    case DType::kQ6K:
      return DecodeAll<BlockQ6K>(blocks, out);
    default:
      MDSA_CHECK(false && "not a block type");
  }
}

}  // namespace mdsa::quant
