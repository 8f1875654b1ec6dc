// Every target against the scalar references, bit for bit.
#include "kernels/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "kernels/target_test_util.h"
#include "quant/gguf_blocks.h"
#include "quant/int8.h"
#include "quant/nf4.h"

namespace mdsa::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class CodecTest : public TargetTest {};
MDSA_INSTANTIATE_FOR_TARGETS(CodecTest);

using Bits = std::vector<std::uint32_t>;

Bits BitsOf(std::span<const float> values) {
  Bits bits;
  for (float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

// With every NaN the same: what two NaNs add up to differs between instruction orders.
Bits BitsOfNumbers(std::span<const float> values) {
  Bits bits = BitsOf(values);
  for (std::uint32_t& b : bits) {
    if ((b & 0x7fffffffu) > 0x7f800000u) b = 0x7fc00000u;
  }
  return bits;
}

struct Distribution {
  const char* name;
  std::function<float(std::mt19937&, std::size_t)> draw;  // by index
};

float AnyBits(std::mt19937& random, std::size_t) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(random()));
}

float Special(std::mt19937& random, std::size_t i) {
  constexpr float kValues[] = {0.0f,      -0.0f,     kNan,     -kNan,    kInfinity, -kInfinity,
                               1e-38f,    -1e-40f,   1e-45f,   3.4e38f,  -3.4e38f,  65504.0f,
                               65519.99f, -65520.0f, 5.96e-8f, 2.98e-8f, 1.0f,      -1.0f};
  // Rare enough that most blocks have one kind only.
  if (random() % 50 == 0) return kValues[random() % std::size(kValues)];
  return static_cast<float>(i % 7) - 3.0f;
}

const std::vector<Distribution>& Distributions() {
  static const std::vector<Distribution> distributions = {
      {"normal", [](auto& r, auto) { return std::normal_distribution<float>(0, 0.02f)(r); }},
      {"uniform", [](auto& r, auto) { return std::uniform_real_distribution<float>(-1, 1)(r); }},
      {"heavy tails", [](auto& r, auto) { return std::cauchy_distribution<float>(0, 1)(r); }},
      {"flat", [](auto&, auto) { return -0.37f; }},
      {"zeros", [](auto&, auto) { return 0.0f; }},
      {"ramp", [](auto&, auto i) { return static_cast<float>(i) * 0.001f - 0.05f; }},
      {"plateaus", [](auto&, auto i) { return static_cast<float>(i / 23 % 5) - 2.0f; }},
      {"denormals", [](auto& r, auto) { return static_cast<float>(r() % 2001) * 1e-41f - 1e-38f; }},
      {"on the bounds",
       [](auto& r, auto i) {
         if (i % 64 == 0) return 1.0f;
         const auto bound = std::bit_cast<float>(quant::kNf4BoundBits[r() % 15]);
         return std::nextafter(bound, static_cast<float>(r() % 3) - 1.0f);
       }},
      {"halves of int8 steps",
       [](auto& r, auto i) {
         return i % 50 == 0 ? 127.0f : static_cast<float>(r() % 509) / 2 - 127;
       }},
      {"any bits", AnyBits},
      {"special", Special},
  };
  return distributions;
}

std::vector<float> Draw(const Distribution& distribution, std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = distribution.draw(random, i);
  return values;
}

// Every size to 300, then sizes around the widths of loops; `values` starts `shift` elements into
// its allocation, so that vector loads of it are misaligned.
void ForEachInput(const std::function<void(std::span<const float>)>& check) {
  std::vector<std::size_t> sizes = {1023, 1024, 1025, 4096, 4133, 16384 + 17};
  for (std::size_t n = 0; n <= 300; ++n) sizes.push_back(n);
  for (const Distribution& distribution : Distributions()) {
    SCOPED_TRACE(distribution.name);
    for (std::size_t n : sizes) {
      SCOPED_TRACE(n);
      const std::size_t shift = n % 5;
      const std::vector<float> values = Draw(distribution, n + shift, static_cast<unsigned>(n));
      check(std::span(values).subspan(shift));
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST_P(CodecTest, Nf4EncodeEqualsTheReference) {
  ForEachInput([](std::span<const float> values) {
    const auto n = static_cast<std::int64_t>(values.size());
    std::vector<std::uint8_t> expected(quant::Nf4PackedBytes(n));
    std::vector<float> expected_absmax(quant::Nf4Blocks(n));
    quant::Nf4EncodeReference(values, expected, expected_absmax);
    std::vector<std::uint8_t> packed(expected.size() + 1, 0xab);
    std::vector<float> absmax(expected_absmax.size());
    Nf4Encode(values, std::span(packed).subspan(1), absmax);
    EXPECT_EQ(packed.front(), 0xab);
    packed.erase(packed.begin());
    EXPECT_EQ(packed, expected);
    EXPECT_EQ(BitsOf(absmax), BitsOf(expected_absmax));
  });
}

TEST_P(CodecTest, Int8EncodeRowEqualsTheReference) {
  ForEachInput([](std::span<const float> values) {
    std::vector<std::int8_t> expected(values.size());
    const float expected_scale = quant::Int8EncodeRowReference(values, expected);
    std::vector<std::int8_t> codes(values.size() + 1, 77);
    const float scale = Int8EncodeRow(values, std::span(codes).first(values.size()));
    EXPECT_EQ(codes.back(), 77);
    codes.pop_back();
    EXPECT_EQ(codes, expected);
    EXPECT_EQ(BitsOf({&scale, 1}), BitsOf({&expected_scale, 1}));
  });
}

TEST_P(CodecTest, SixteenBitEncodingsEqualTheScalarConversion) {
  ForEachInput([](std::span<const float> values) {
    std::vector<BFloat16> brain(values.size() + 1, BFloat16{0x1234});
    std::vector<Float16> half(values.size() + 1, Float16{0x1234});
    EncodeBFloat16(values, brain.data());
    EncodeFloat16(values, half.data());
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(brain[i].bits, ToBFloat16(values[i]).bits) << values[i];
      ASSERT_EQ(half[i].bits, ToFloat16(values[i]).bits) << values[i];
    }
    EXPECT_EQ(brain.back().bits, 0x1234);
    EXPECT_EQ(half.back().bits, 0x1234);
  });
}

// Decodes `bytes`, moved by one byte, and checks that nothing beyond the output is written.
std::vector<float> Decode(DType dtype, std::span<const std::byte> bytes, std::size_t n) {
  std::vector<std::byte> shifted(bytes.size() + 1);
  std::copy(bytes.begin(), bytes.end(), shifted.begin() + 1);
  std::vector<float> out(n + 1, 77.0f);
  DecodeToFloat(dtype, shifted.data() + 1, std::span(out).first(n));
  EXPECT_EQ(out.back(), 77.0f);
  out.pop_back();
  return out;
}

TEST_P(CodecTest, EverySixteenBitPatternDecodes) {
  std::vector<std::uint16_t> patterns(65536);
  for (std::size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<std::uint16_t>(i);
  const std::vector<float> half = Decode(DType::kF16, std::as_bytes(std::span(patterns)), 65536);
  const std::vector<float> brain = Decode(DType::kBF16, std::as_bytes(std::span(patterns)), 65536);
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(half[i]),
              std::bit_cast<std::uint32_t>(ToFloat(Float16{bits})));
    ASSERT_EQ(std::bit_cast<std::uint32_t>(brain[i]), i << 16);
  }
}

TEST_P(CodecTest, SixteenBitTypesDecodeAtEverySize) {
  std::vector<std::uint16_t> patterns(300);
  for (std::size_t i = 0; i < 300; ++i) patterns[i] = static_cast<std::uint16_t>(0x3c00 + 7 * i);
  for (std::size_t n = 0; n <= 300; ++n) {
    const auto bytes = std::as_bytes(std::span(patterns)).first(2 * n);
    const std::vector<float> half = Decode(DType::kF16, bytes, n);
    const std::vector<float> brain = Decode(DType::kBF16, bytes, n);
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(half[i], ToFloat(Float16{patterns[i]}));
      ASSERT_EQ(brain[i], ToFloat(BFloat16{patterns[i]}));
    }
  }
}

TEST_P(CodecTest, BlockTypesEqualTheReference) {
  std::mt19937 random(3);
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                            DType::kQ4K, DType::kQ5K, DType::kQ6K}) {
    SCOPED_TRACE(DTypeName(dtype));
    const DTypeTraits& traits = TraitsOf(dtype);
    // Random bytes: the scales are any fp16, infinities and NaN among them.
    for (const std::int64_t blocks : {0, 1, 2, 3, 7, 500}) {
      std::vector<std::byte> bytes(blocks * traits.block_bytes);
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
      std::vector<float> expected(blocks * traits.block_elements);
      quant::DecodeBlocksReference(dtype, bytes.data(), expected);
      EXPECT_EQ(BitsOfNumbers(Decode(dtype, bytes, expected.size())), BitsOfNumbers(expected));
    }
  }
}

TEST_P(CodecTest, WideTypesDecode) {
  const std::vector<double> doubles = {0.1, -0.0, 1e300, -1e300, 1e-46, 1.00000005960464477, -2.5};
  std::vector<float> expected;
  for (double value : doubles) expected.push_back(static_cast<float>(value));
  EXPECT_EQ(BitsOf(Decode(DType::kF64, std::as_bytes(std::span(doubles)), doubles.size())),
            BitsOf(expected));
  const std::vector<float> floats = {0.1f, -0.0f, kNan, -kInfinity, 1e-45f};
  EXPECT_EQ(BitsOf(Decode(DType::kF32, std::as_bytes(std::span(floats)), floats.size())),
            BitsOf(floats));
}

TEST_P(CodecTest, EightBitFloatsDecode) {
  std::vector<std::byte> bytes(256);
  for (std::size_t i = 0; i < 256; ++i) bytes[i] = static_cast<std::byte>(i);
  const std::vector<float> e4m3 = Decode(DType::kF8E4M3, bytes, 256);
  const std::vector<float> e5m2 = Decode(DType::kF8E5M2, bytes, 256);
  for (int i = 0; i < 256; ++i) {
    const float sign = i < 128 ? 1.0f : -1.0f;
    const int e4 = i >> 3 & 15, m3 = i & 7;
    const float expected4 = e4 == 0 ? std::ldexp(static_cast<float>(m3), -9)
                                    : std::ldexp(static_cast<float>(8 + m3), e4 - 10);
    if ((i & 127) == 127) {
      EXPECT_TRUE(std::isnan(e4m3[i]));
    } else {
      EXPECT_EQ(e4m3[i], sign * expected4) << i;
    }
    EXPECT_EQ(std::signbit(e4m3[i]), i >= 128);
    const int e5 = i >> 2 & 31, m2 = i & 3;
    const float expected5 = e5 == 0 ? std::ldexp(static_cast<float>(m2), -16)
                                    : std::ldexp(static_cast<float>(4 + m2), e5 - 17);
    if (e5 == 31 && m2 != 0) {
      EXPECT_TRUE(std::isnan(e5m2[i]));
    } else {
      EXPECT_EQ(e5m2[i], e5 == 31 ? sign * kInfinity : sign * expected5) << i;
    }
    EXPECT_EQ(std::signbit(e5m2[i]), i >= 128);
  }
}

}  // namespace
}  // namespace mdsa::kernels
