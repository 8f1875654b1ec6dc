// Plain C++, shaped so that a compiler can vectorize it for any baseline.
#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "kernels/codec_kernels.h"
#include "quant/gguf_blocks.h"
#include "quant/nf4.h"

namespace mdsa::kernels {
namespace {

std::uint16_t LoadWord(const std::uint8_t* bytes) {
  std::uint16_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return bits;
}

float LoadHalf(const std::uint8_t* bytes) { return ToFloat(Float16{LoadWord(bytes)}); }

struct Numbers {
  std::int8_t value[32];
};

Numbers Load(const std::uint8_t* p) {
  Numbers x;
  std::memcpy(x.value, p, sizeof(x.value));
  return x;
}

// Eight at a time. GCC unrolls loops of 16 before it could vectorize them; hence also the loops
// over 32 below.
Numbers LoadNibbles(const std::uint8_t* p) {
  constexpr std::uint64_t kLow = 0x0f0f0f0f0f0f0f0fu;
  std::uint64_t bytes[2];
  std::memcpy(bytes, p, sizeof(bytes));
  const std::uint64_t nibbles[4] = {bytes[0] & kLow, bytes[1] & kLow, bytes[0] >> 4 & kLow,
                                    bytes[1] >> 4 & kLow};
  Numbers x;
  std::memcpy(x.value, nibbles, sizeof(nibbles));
  return x;
}

Numbers LoadBits(const std::uint8_t* p) {
  Numbers x;
  for (int i = 0; i < 32; ++i) x.value[i] = static_cast<std::int8_t>(p[i / 8] >> (i % 8) & 1);
  return x;
}

Numbers Bits(Numbers x, int shift, int mask) {
  for (std::int8_t& value : x.value) {
    value = static_cast<std::int8_t>(static_cast<std::uint8_t>(value) >> shift & mask);
  }
  return x;
}

Numbers Join(Numbers low, Numbers high) {
  for (int i = 0; i < 32; ++i) {
    low.value[i] = static_cast<std::int8_t>(low.value[i] | high.value[i] << 4);
  }
  return low;
}

Numbers Subtract(Numbers x, int y) {
  for (std::int8_t& value : x.value) value = static_cast<std::int8_t>(value - y);
  return x;
}

void StoreScaled(Numbers x, float first, float last, float* out) {
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(x.value[i]) * (i < 16 ? first : last);
}

void Store(Numbers x, float scale, float add, float* out) {
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(x.value[i]) * scale + add;
}

// Needs what stands before it.
#include "kernels/codec_blocks-inl.h"

void DecodeFloat16(const std::byte* bytes, std::int64_t n, float* out) {
  const auto* halves = reinterpret_cast<const std::uint8_t*>(bytes);
  for (std::int64_t i = 0; i < n; ++i) out[i] = LoadHalf(halves + 2 * i);
}

void DecodeBFloat16(const std::byte* bytes, std::int64_t n, float* out) {
  const auto* halves = reinterpret_cast<const std::uint8_t*>(bytes);
  for (std::int64_t i = 0; i < n; ++i) out[i] = ToFloat(BFloat16{LoadWord(halves + 2 * i)});
}

void EncodeFloat16(const float* values, std::int64_t n, Float16* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = ToFloat16(values[i]);
}

void EncodeBFloat16(const float* values, std::int64_t n, BFloat16* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = ToBFloat16(values[i]);
}

std::uint32_t AbsMaxBits(const float* values) {
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < quant::kNf4BlockSize; ++i) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(values[i]) & 0x7fffffffu);
  }
  return largest;
}

// Counts bound by bound over the whole block, which vectorizes, instead of value by value.
void EncodeFiniteBlock(const float* values, float absmax, std::uint8_t* packed) {
  const float inverse = 1.0f / std::max(absmax, quant::kNf4MinScale);
  float scaled[quant::kNf4BlockSize];
  std::uint32_t codes[quant::kNf4BlockSize] = {};
  for (std::int64_t i = 0; i < quant::kNf4BlockSize; ++i) scaled[i] = values[i] * inverse;
  for (std::uint32_t bits : quant::kNf4BoundBits) {
    const auto bound = std::bit_cast<float>(bits);
    for (std::int64_t i = 0; i < quant::kNf4BlockSize; ++i) codes[i] += scaled[i] > bound;
  }
  for (std::int64_t i = 0; i < quant::kNf4BlockSize / 2; ++i) {
    packed[i] = static_cast<std::uint8_t>(codes[2 * i] << 4 | codes[2 * i + 1]);
  }
}

void EncodeNf4(const float* values, std::int64_t blocks, std::uint8_t* packed, float* absmax) {
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::uint32_t bits = AbsMaxBits(values);
    if (bits < 0x7f800000u) {
      absmax[block] = std::bit_cast<float>(bits);
      EncodeFiniteBlock(values, absmax[block], packed);
    } else {
      EncodeNonFiniteNf4Block(values, packed, absmax + block);
    }
    values += quant::kNf4BlockSize;
    packed += quant::kNf4BlockSize / 2;
  }
}

// The fp16 nearest to the value, as bits of the fp32 number it is; without the sign, branches or
// table look-ups, so that loops of it vectorize.
std::uint32_t HalfMagnitudeBits(std::uint32_t bits) {
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  const std::uint32_t normal = (magnitude + 0xfffu + (magnitude >> 13 & 1u)) & ~0x1fffu;
  // Adding 0.5 leaves the ten bits of a subnormal half in the mantissa.
  const auto subnormal =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f - 0.5f);
  const std::uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  const std::uint32_t number = magnitude >= 0x477ff000u ? 0x7f800000u : finite;
  return magnitude > 0x7f800000u ? 0x7fc00000u : number;
}

float EncodeInt8Row(const float* row, std::int64_t n, std::int8_t* codes) {
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    largest = std::max(largest, HalfMagnitudeBits(std::bit_cast<std::uint32_t>(row[i])));
  }
  const auto scale = std::bit_cast<float>(largest);
  if (largest == 0 || largest >= 0x7f800000u) {
    std::fill_n(codes, n, std::int8_t{0});
    return scale;
  }
  const float inverse = 1.0f / scale * 127.0f;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(row[i]);
    const auto half = std::bit_cast<float>(HalfMagnitudeBits(bits) | (bits & 0x80000000u));
    // Adding 1.5 * 2^23 rounds to even and leaves the integer in the low bits.
    const float rounded = half * inverse + 0x1.8p23f;
    codes[i] = static_cast<std::int8_t>(std::bit_cast<std::uint32_t>(rounded));
  }
  return scale;
}

}  // namespace

constinit const CodecKernels kPortableCodec = {
    .decode_float16 = DecodeFloat16,
    .decode_bfloat16 = DecodeBFloat16,
    .decode_blocks = DecodeBlocks,
    .encode_float16 = EncodeFloat16,
    .encode_bfloat16 = EncodeBFloat16,
    .nf4_encode = EncodeNf4,
    .int8_encode_row = EncodeInt8Row,
};

}  // namespace mdsa::kernels
