#include "quant/gguf_blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

namespace mdsa::quant {
namespace {

using testing::ElementsAre;

std::vector<std::byte> FromHex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(digit(hex[i]) << 4 | digit(hex[i + 1])));
  }
  return bytes;
}

// 32 points from -1 to 1 as the `gguf` package packs them.
TEST(GgufBlocksTest, DecodesTheWorkedExamples) {
  std::vector<float> out(32);
  DecodeBlocksReference(DType::kQ4_0, FromHex("0030809191a2a2b3b3c4c4d5d5e6e6f7f7f8").data(), out);
  for (int i = 0; i < 32; ++i) {
    EXPECT_NEAR(out[i], -1.0 + 2.0 * i / 31, 0.126);  // 1.0 is stored as code 15: 0.875
  }
  EXPECT_EQ(out[0], -1.0f);
  EXPECT_EQ(out[16], 0.0f);
  EXPECT_EQ(out[31], 0.875f);
  DecodeBlocksReference(
      DType::kQ8_0,
      FromHex("08208189919aa2aab2bac3cbd3dbe3ecf4fc040c141d252d353d464e565e666f777f").data(), out);
  for (int i = 0; i < 32; ++i) EXPECT_NEAR(out[i], -1.0 + 2.0 * i / 31, 0.005);
}

struct Case {
  DType dtype;
  std::int64_t bytes;
  std::int64_t elements;
  std::vector<std::int64_t> halves;  // offsets of the block's fp16 fields
  std::uint64_t hash;                // of three decoded blocks, by the `gguf` package
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {DType::kQ4_0, 18, 32, {0}, 0x614714a7a9a1b885u},
      {DType::kQ4_1, 20, 32, {0, 2}, 0x5675bc8aec9fdbb0u},
      {DType::kQ5_0, 22, 32, {0}, 0xa149d5589bad248au},
      {DType::kQ5_1, 24, 32, {0, 2}, 0xe7a5e58adaf6a7a3u},
      {DType::kQ8_0, 34, 32, {0}, 0xc9286ff355a61ed7u},
      {DType::kQ4K, 144, 256, {0, 2}, 0xe36718a53316fddcu},
      {DType::kQ5K, 176, 256, {0, 2}, 0x3de33f2bdf40f780u},
      {DType::kQ6K, 210, 256, {208}, 0x78a456a2f9fa8584u},
  };
  return cases;
}

// Noise for the integers, moderate numbers for the scales.
std::vector<std::byte> ThreeBlocks(const Case& c) {
  std::vector<std::byte> bytes(3 * c.bytes);
  std::uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  for (std::int64_t block = 0; block < 3; ++block) {
    for (std::size_t i = 0; i < c.halves.size(); ++i) {
      const auto half = static_cast<std::uint16_t>(0x2c35 + 0x8111 * block + 0x77 * i);
      std::memcpy(bytes.data() + block * c.bytes + c.halves[i], &half, sizeof(half));
    }
  }
  return bytes;
}

TEST(GgufBlocksTest, EveryTypeDecodesLikeTheReference) {
  for (const Case& c : Cases()) {
    std::vector<float> out(3 * c.elements);
    DecodeBlocksReference(c.dtype, ThreeBlocks(c).data(), out);
    std::uint64_t hash = 14695981039346656037u;  // FNV-1a over the little-endian bytes
    for (float value : out) {
      for (int byte = 0; byte < 4; ++byte) {
        hash = (hash ^ (std::bit_cast<std::uint32_t>(value) >> (8 * byte) & 255)) * 1099511628211u;
      }
    }
    EXPECT_EQ(hash, c.hash) << "type " << static_cast<int>(c.dtype);
  }
}

}  // namespace
}  // namespace mdsa::quant
