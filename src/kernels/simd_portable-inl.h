// The vector vocabulary of the -inl.h kernels in compiler vectors of four floats: any processor,
// GCC or Clang. The other simd_*-inl.h files define the same names for their instruction sets.
// Included by the .cc of one target only, inside its namespace.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/float16.h"

#define MDSA_INLINE inline __attribute__((always_inline))

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

typedef float VF __attribute__((vector_size(16)));
typedef std::int32_t VMask __attribute__((vector_size(16)));
typedef std::int32_t VI __attribute__((vector_size(16)));  // with the operators of int, per lane
constexpr int kLanes = 4;
constexpr int kMaxTileRows = 4;  // rows of activations in one tile of the packed product
// Activation rows of a dot product over four weight rows, and over eight.
constexpr int kDotMaxM = 3;
constexpr int kDotMaxWideM = 1;

MDSA_INLINE VF Zero() { return VF{}; }
MDSA_INLINE VF Set1(float value) { return VF{value, value, value, value}; }
MDSA_INLINE VF Load(const void* p) {
  VF v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
// n lanes, n <= kLanes; the others are zero.
MDSA_INLINE VF LoadN(const void* p, std::int64_t n) {
  VF v{};
  for (int i = 0; i < kLanes; ++i) {
    float value = 0.0f;
    if (i < n) std::memcpy(&value, static_cast<const std::byte*>(p) + 4 * i, sizeof(value));
    v[i] = value;
  }
  return v;
}
MDSA_INLINE void Store(void* p, VF v) { std::memcpy(p, &v, sizeof(v)); }
MDSA_INLINE void StoreN(void* p, VF v, std::int64_t n) {
  for (int i = 0; i < kLanes; ++i) {
    const float value = v[i];
    if (i < n) std::memcpy(static_cast<std::byte*>(p) + 4 * i, &value, sizeof(value));
  }
}

MDSA_INLINE VF Add(VF a, VF b) { return a + b; }
MDSA_INLINE VF Sub(VF a, VF b) { return a - b; }
MDSA_INLINE VF Mul(VF a, VF b) { return a * b; }
MDSA_INLINE VF Div(VF a, VF b) { return a / b; }
// 1 / a within a few units in the last place, for normal a.
MDSA_INLINE VF Reciprocal(VF a) { return Set1(1.0f) / a; }

// mask ? yes : no, per lane.
MDSA_INLINE VF Select(VMask mask, VF yes, VF no) {
  return std::bit_cast<VF>((std::bit_cast<VMask>(yes) & mask) | (std::bit_cast<VMask>(no) & ~mask));
}
MDSA_INLINE VMask Less(VF a, VF b) { return a < b; }
MDSA_INLINE bool AnyEqual(VF a, VF b) {
  const VMask equal = a == b;
  return (equal[0] | equal[1] | equal[2] | equal[3]) != 0;
}
// As the x86 instructions: the second operand if either is NaN.
MDSA_INLINE VF Max(VF a, VF b) { return Select(b < a, a, b); }
MDSA_INLINE VF Min(VF a, VF b) { return Select(a < b, a, b); }

// a * b + c and c - a * b; one rounding where the target has the instruction.
MDSA_INLINE VF MulAdd(VF a, VF b, VF c) { return a * b + c; }
MDSA_INLINE VF NegMulAdd(VF a, VF b, VF c) { return c - a * b; }
// a * b - product, exactly rounded; product is Mul(a, b).
MDSA_INLINE VF MulError(VF a, VF b, VF product) {
  VF error;
  for (int i = 0; i < kLanes; ++i) {
    error[i] = static_cast<float>(static_cast<double>(a[i]) * static_cast<double>(b[i]) -
                                  static_cast<double>(product[i]));
  }
  return error;
}
MDSA_INLINE VF Abs(VF a) {
  return std::bit_cast<VF>(std::bit_cast<VMask>(a) & (VMask{} + 0x7fffffff));
}
// To the nearest integer, for magnitudes below 2^22.
MDSA_INLINE VF Round(VF a) {
  const VF magic = Set1(12582912.0f);
  return (a + magic) - magic;
}
// a * 2^n for an integral n in [-151, 128], which is what Exp asks for; NaN for a NaN a.
MDSA_INLINE VF ScaleByPowerOf2(VF a, VF n) {
  VF result;
  for (int i = 0; i < kLanes; ++i) {
    const int exponent = n[i] > -151.0f ? static_cast<int>(n[i]) : -151;  // also for NaN
    const int half = exponent / 2;
    const float first = std::bit_cast<float>(static_cast<std::uint32_t>(half + 127) << 23);
    const float second =
        std::bit_cast<float>(static_cast<std::uint32_t>(exponent - half + 127) << 23);
    result[i] = a[i] * first * second;
  }
  return result;
}

MDSA_INLINE float ReduceAdd(VF v) { return (v[0] + v[2]) + (v[1] + v[3]); }
MDSA_INLINE float ReduceMax(VF v) {
  const float a = v[0] > v[1] ? v[0] : v[1];
  const float b = v[2] > v[3] ? v[2] : v[3];
  return a > b ? a : b;
}
// out[i] = sum of the lanes of v[i].
template <int kCount>
MDSA_INLINE void ReduceAddEach(const VF* v, float* out) {
  for (int i = 0; i < kCount; ++i) out[i] = ReduceAdd(v[i]);
}

// kLanes values of a 16- or 8-bit type.
MDSA_INLINE VF LoadBf16(const void* p) {
  BFloat16 bits[kLanes];
  std::memcpy(bits, p, sizeof(bits));
  return VF{ToFloat(bits[0]), ToFloat(bits[1]), ToFloat(bits[2]), ToFloat(bits[3])};
}
MDSA_INLINE VF LoadF16(const void* p) {
  Float16 bits[kLanes];
  std::memcpy(bits, p, sizeof(bits));
  return VF{ToFloat(bits[0]), ToFloat(bits[1]), ToFloat(bits[2]), ToFloat(bits[3])};
}
MDSA_INLINE VF LoadInt8(const void* p) {
  typedef std::int8_t Codes __attribute__((vector_size(kLanes)));
  Codes codes;
  std::memcpy(&codes, p, sizeof(codes));
  return __builtin_convertvector(__builtin_convertvector(codes, VI), VF);
}

MDSA_INLINE float LoadHalf(const void* p) {
  Float16 half;
  std::memcpy(&half, p, sizeof(half));
  return ToFloat(half);
}
// kLanes bytes as integers.
MDSA_INLINE VI LoadBytes(const std::uint8_t* p) {
  typedef std::uint8_t Bytes __attribute__((vector_size(kLanes)));
  Bytes bytes;
  std::memcpy(&bytes, p, sizeof(bytes));
  return __builtin_convertvector(bytes, VI);
}
MDSA_INLINE VF ToFloats(VI v) { return __builtin_convertvector(v, VF); }

// The low or high halves of bytes as code * scale + add.
class LinearNibbles {
 public:
  MDSA_INLINE LinearNibbles(float scale, float add) : scale_(Set1(scale)), add_(Set1(add)) {}
  // Scale and addend as neighbours in fp16.
  MDSA_INLINE explicit LinearNibbles(const std::uint8_t* halves)
      : LinearNibbles(LoadHalf(halves), LoadHalf(halves + 2)) {}
  MDSA_INLINE VF Low(VI bytes) const { return ToFloats(bytes & 15) * scale_ + add_; }
  MDSA_INLINE VF High(VI bytes) const { return ToFloats(bytes >> 4) * scale_ + add_; }

 private:
  VF scale_;
  VF add_;
};
// The same as table[code].
class TableNibbles {
 public:
  MDSA_INLINE explicit TableNibbles(const float* table) : table_(table) {}
  MDSA_INLINE VF Low(VI bytes) const { return Codes(bytes & 15); }
  MDSA_INLINE VF High(VI bytes) const { return Codes(bytes >> 4); }

 private:
  MDSA_INLINE VF Codes(VI codes) const {
    return VF{table_[codes[0]], table_[codes[1]], table_[codes[2]], table_[codes[3]]};
  }
  const float* table_;
};

// 32 bytes of NF4 codes to 64 values table[code] * scale.
MDSA_INLINE void DecodeNf4Block(const std::uint8_t* packed, const float* table, float scale,
                                float* out) {
  for (int i = 0; i < 32; ++i) {
    out[2 * i] = table[packed[i] >> 4] * scale;
    out[2 * i + 1] = table[packed[i] & 15] * scale;
  }
}

// Transposes kLanes x kLanes dwords. Row r of the input is at `in + r * in_stride` (bytes), row c
// of the output at `out + c * out_stride` (dwords).
MDSA_INLINE void TransposeTile(const std::byte* in, std::int64_t in_stride, float* out,
                               std::int64_t out_stride) {
  for (int r = 0; r < kLanes; ++r) {
    for (int c = 0; c < kLanes; ++c) {
      std::memcpy(out + c * out_stride + r, in + r * in_stride + 4 * c, sizeof(float));
    }
  }
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
