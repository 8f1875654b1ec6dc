// The vector vocabulary of the -inl.h kernels, for AVX-512 (F, BW, DQ, VL). See simd_portable-inl.h
// for what each function does. Included by the .cc of one target only, inside its namespace.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#define MDSA_INLINE inline __attribute__((always_inline))

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

using VF = __m512;
using VMask = __mmask16;
typedef std::int32_t VI __attribute__((vector_size(64)));
constexpr int kLanes = 16;
constexpr int kMaxTileRows = 14;  // packed product: 14 x 2 accumulators, 2 weights, 2 spare
// Activation rows of a dot product over four weight rows, and over eight.
constexpr int kDotMaxM = 6;
constexpr int kDotMaxWideM = 3;

MDSA_INLINE __mmask16 FirstLanes(std::int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

MDSA_INLINE VF Zero() { return _mm512_setzero_ps(); }
MDSA_INLINE VF Set1(float value) { return _mm512_set1_ps(value); }
MDSA_INLINE VF Load(const void* p) { return _mm512_loadu_ps(p); }
MDSA_INLINE VF LoadN(const void* p, std::int64_t n) {
  return _mm512_maskz_loadu_ps(FirstLanes(n), p);
}
MDSA_INLINE void Store(void* p, VF v) { _mm512_storeu_ps(p, v); }
MDSA_INLINE void StoreN(void* p, VF v, std::int64_t n) {
  _mm512_mask_storeu_ps(p, FirstLanes(n), v);
}

MDSA_INLINE VF Add(VF a, VF b) { return _mm512_add_ps(a, b); }
MDSA_INLINE VF Sub(VF a, VF b) { return _mm512_sub_ps(a, b); }
MDSA_INLINE VF Mul(VF a, VF b) { return _mm512_mul_ps(a, b); }
MDSA_INLINE VF Div(VF a, VF b) { return _mm512_div_ps(a, b); }
MDSA_INLINE VF Reciprocal(VF a) {
  const VF estimate = _mm512_rcp14_ps(a);
  return _mm512_mul_ps(estimate, _mm512_fnmadd_ps(a, estimate, _mm512_set1_ps(2.0f)));
}
MDSA_INLINE VF Max(VF a, VF b) { return _mm512_max_ps(a, b); }
MDSA_INLINE VF Min(VF a, VF b) { return _mm512_min_ps(a, b); }
MDSA_INLINE VF MulAdd(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
MDSA_INLINE VF NegMulAdd(VF a, VF b, VF c) { return _mm512_fnmadd_ps(a, b, c); }
MDSA_INLINE VF MulError(VF a, VF b, VF product) { return _mm512_fmsub_ps(a, b, product); }
MDSA_INLINE VF Abs(VF a) { return _mm512_abs_ps(a); }
MDSA_INLINE VF Round(VF a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
MDSA_INLINE VF ScaleByPowerOf2(VF a, VF n) { return _mm512_scalef_ps(a, n); }

MDSA_INLINE VMask Less(VF a, VF b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
MDSA_INLINE bool AnyEqual(VF a, VF b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ) != 0; }
MDSA_INLINE VF Select(VMask mask, VF yes, VF no) { return _mm512_mask_blend_ps(mask, no, yes); }

MDSA_INLINE float ReduceAdd(VF v) { return _mm512_reduce_add_ps(v); }
MDSA_INLINE float ReduceMax(VF v) { return _mm512_reduce_max_ps(v); }

// The sums of the lanes of each of eight vectors.
MDSA_INLINE __m256 ReduceAdd8(const VF* v) {
  __m256 half[8];
  for (int i = 0; i < 8; ++i) {
    half[i] = _mm256_add_ps(_mm512_castps512_ps256(v[i]), _mm512_extractf32x8_ps(v[i], 1));
  }
  const __m256 ab = _mm256_hadd_ps(half[0], half[1]);
  const __m256 cd = _mm256_hadd_ps(half[2], half[3]);
  const __m256 ef = _mm256_hadd_ps(half[4], half[5]);
  const __m256 gh = _mm256_hadd_ps(half[6], half[7]);
  const __m256 abcd = _mm256_hadd_ps(ab, cd);
  const __m256 efgh = _mm256_hadd_ps(ef, gh);
  return _mm256_add_ps(_mm256_permute2f128_ps(abcd, efgh, 0x20),
                       _mm256_permute2f128_ps(abcd, efgh, 0x31));
}
template <int kCount>
MDSA_INLINE void ReduceAddEach(const VF* v, float* out) {
  if constexpr (kCount == 8) {
    _mm256_storeu_ps(out, ReduceAdd8(v));
  } else if constexpr (kCount == 4) {
    __m256 half[4];
    for (int i = 0; i < 4; ++i) {
      half[i] = _mm256_add_ps(_mm512_castps512_ps256(v[i]), _mm512_extractf32x8_ps(v[i], 1));
    }
    const __m256 sum =
        _mm256_hadd_ps(_mm256_hadd_ps(half[0], half[1]), _mm256_hadd_ps(half[2], half[3]));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1)));
  } else {
    for (int i = 0; i < kCount; ++i) out[i] = ReduceAdd(v[i]);
  }
}

MDSA_INLINE VF LoadBf16(const void* p) {
  const __m256i bits = _mm256_loadu_si256(static_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
MDSA_INLINE VF LoadF16(const void* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
MDSA_INLINE VF LoadInt8(const void* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
}

MDSA_INLINE float LoadHalf(const void* p) {
  std::uint16_t bits;
  __builtin_memcpy(&bits, p, sizeof(bits));
  return _cvtsh_ss(bits);
}
MDSA_INLINE VI LoadBytes(const std::uint8_t* p) {
  return (VI)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
MDSA_INLINE VF ToFloats(VI v) { return _mm512_cvtepi32_ps((__m512i)v); }

// Sixteen values in a register: the permutation reads four bits of each index, so low halves need
// no masking, and a linear code costs no more than a table.
class TableNibbles {
 public:
  MDSA_INLINE explicit TableNibbles(const float* table) : table_(Load(table)) {}
  MDSA_INLINE VF Low(VI bytes) const { return _mm512_permutexvar_ps((__m512i)bytes, table_); }
  MDSA_INLINE VF High(VI bytes) const {
    return _mm512_permutexvar_ps(_mm512_srli_epi32((__m512i)bytes, 4), table_);
  }

 protected:
  MDSA_INLINE explicit TableNibbles(VF table) : table_(table) {}

 private:
  VF table_;
};
class LinearNibbles : public TableNibbles {
 public:
  MDSA_INLINE LinearNibbles(float scale, float add) : LinearNibbles(Set1(scale), Set1(add)) {}
  MDSA_INLINE explicit LinearNibbles(const std::uint8_t* halves) : LinearNibbles(Pairs(halves)) {}

 private:
  MDSA_INLINE LinearNibbles(VF scale, VF add)
      : TableNibbles(MulAdd(_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                            scale, add)) {}
  MDSA_INLINE explicit LinearNibbles(VF pairs)
      : LinearNibbles(_mm512_moveldup_ps(pairs), _mm512_movehdup_ps(pairs)) {}
  MDSA_INLINE static VF Pairs(const std::uint8_t* halves) {
    std::int32_t bits;
    __builtin_memcpy(&bits, halves, sizeof(bits));
    return _mm512_cvtph_ps(_mm256_set1_epi32(bits));
  }
};

// 32 bytes of NF4 codes to 64 values table[code] * scale.
MDSA_INLINE void DecodeNf4Block(const std::uint8_t* packed, const float* table, float scale,
                                float* out) {
  const __m512 values = _mm512_mul_ps(_mm512_loadu_ps(table), _mm512_set1_ps(scale));
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  for (int i = 0; i < 2; ++i) {
    const __m512i bytes =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + 16 * i)));
    // The permutation reads four bits of each index: no masking of the low nibble.
    const __m512 even = _mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), values);
    const __m512 odd = _mm512_permutexvar_ps(bytes, values);
    _mm512_storeu_ps(out + 32 * i, _mm512_permutex2var_ps(even, low, odd));
    _mm512_storeu_ps(out + 32 * i + 16, _mm512_permutex2var_ps(even, high, odd));
  }
}

MDSA_INLINE void TransposeTile(const std::byte* in, std::int64_t in_stride, float* out,
                               std::int64_t out_stride) {
  // One load per row: rows a power of two apart share a cache set, and must not be touched twice.
  __m512i r[16];
  __m512i t[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(in + i * in_stride);
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512i a = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    const __m512i b = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    const __m512i c = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]);
    const __m512i d = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);
    t[i] = _mm512_unpacklo_epi64(a, c);
    t[i + 1] = _mm512_unpackhi_epi64(a, c);
    t[i + 2] = _mm512_unpacklo_epi64(b, d);
    t[i + 3] = _mm512_unpackhi_epi64(b, d);
  }
  // t[4 g + c] holds columns c, c + 4, c + 8, c + 12 of rows 4 g .. 4 g + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512i low0 = _mm512_shuffle_i32x4(t[c], t[4 + c], 0x88);
    const __m512i low1 = _mm512_shuffle_i32x4(t[8 + c], t[12 + c], 0x88);
    const __m512i high0 = _mm512_shuffle_i32x4(t[c], t[4 + c], 0xdd);
    const __m512i high1 = _mm512_shuffle_i32x4(t[8 + c], t[12 + c], 0xdd);
    float* p = out + c * out_stride;
    _mm512_storeu_si512(p, _mm512_shuffle_i32x4(low0, low1, 0x88));
    _mm512_storeu_si512(p + 4 * out_stride, _mm512_shuffle_i32x4(high0, high1, 0x88));
    _mm512_storeu_si512(p + 8 * out_stride, _mm512_shuffle_i32x4(low0, low1, 0xdd));
    _mm512_storeu_si512(p + 12 * out_stride, _mm512_shuffle_i32x4(high0, high1, 0xdd));
  }
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
