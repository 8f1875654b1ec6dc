// The vector vocabulary of the -inl.h kernels, for AVX2 with FMA and F16C. See simd_portable-inl.h
// for what each function does. Included by the .cc of one target only, inside its namespace.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#define MDSA_INLINE inline __attribute__((always_inline))

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

using VF = __m256;
using VMask = __m256;
typedef std::int32_t VI __attribute__((vector_size(32)));
constexpr int kLanes = 8;
constexpr int kMaxTileRows = 6;  // packed product: 6 x 2 accumulators, 2 weights, 1 activation
// Activation rows of a dot product over four weight rows, and over eight.
constexpr int kDotMaxM = 3;
constexpr int kDotMaxWideM = 1;

MDSA_INLINE __m256i FirstLanes(std::int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

MDSA_INLINE VF Zero() { return _mm256_setzero_ps(); }
MDSA_INLINE VF Set1(float value) { return _mm256_set1_ps(value); }
MDSA_INLINE VF Load(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
MDSA_INLINE VF LoadN(const void* p, std::int64_t n) {
  return _mm256_maskload_ps(static_cast<const float*>(p), FirstLanes(n));
}
MDSA_INLINE void Store(void* p, VF v) { _mm256_storeu_ps(static_cast<float*>(p), v); }
MDSA_INLINE void StoreN(void* p, VF v, std::int64_t n) {
  _mm256_maskstore_ps(static_cast<float*>(p), FirstLanes(n), v);
}

MDSA_INLINE VF Add(VF a, VF b) { return _mm256_add_ps(a, b); }
MDSA_INLINE VF Sub(VF a, VF b) { return _mm256_sub_ps(a, b); }
MDSA_INLINE VF Mul(VF a, VF b) { return _mm256_mul_ps(a, b); }
MDSA_INLINE VF Div(VF a, VF b) { return _mm256_div_ps(a, b); }
MDSA_INLINE VF Reciprocal(VF a) {
  const VF estimate = _mm256_rcp_ps(a);
  return _mm256_mul_ps(estimate, _mm256_fnmadd_ps(a, estimate, _mm256_set1_ps(2.0f)));
}
MDSA_INLINE VF Max(VF a, VF b) { return _mm256_max_ps(a, b); }
MDSA_INLINE VF Min(VF a, VF b) { return _mm256_min_ps(a, b); }
MDSA_INLINE VF MulAdd(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
MDSA_INLINE VF NegMulAdd(VF a, VF b, VF c) { return _mm256_fnmadd_ps(a, b, c); }
MDSA_INLINE VF MulError(VF a, VF b, VF product) { return _mm256_fmsub_ps(a, b, product); }
MDSA_INLINE VF Abs(VF a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
MDSA_INLINE VF Round(VF a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
MDSA_INLINE VF PowerOf2(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
MDSA_INLINE VF ScaleByPowerOf2(VF a, VF n) {
  // In two steps, so that results below the smallest normal number round once and correctly.
  const __m256i exponent = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(exponent, 1);
  return _mm256_mul_ps(_mm256_mul_ps(a, PowerOf2(half)),
                       PowerOf2(_mm256_sub_epi32(exponent, half)));
}

MDSA_INLINE VMask Less(VF a, VF b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
MDSA_INLINE bool AnyEqual(VF a, VF b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)) != 0;
}
MDSA_INLINE VF Select(VMask mask, VF yes, VF no) { return _mm256_blendv_ps(no, yes, mask); }

MDSA_INLINE float ReduceAdd(VF v) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
MDSA_INLINE float ReduceMax(VF v) {
  __m128 max = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  max = _mm_max_ps(max, _mm_movehl_ps(max, max));
  return _mm_cvtss_f32(_mm_max_ss(max, _mm_movehdup_ps(max)));
}
template <int kCount>
MDSA_INLINE void ReduceAddEach(const VF* v, float* out) {
  if constexpr (kCount == 4) {
    const __m256 sum = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1)));
  } else {
    for (int i = 0; i < kCount; ++i) out[i] = ReduceAdd(v[i]);
  }
}

MDSA_INLINE VF LoadBf16(const void* p) {
  const __m128i bits = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
MDSA_INLINE VF LoadF16(const void* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
MDSA_INLINE VF LoadInt8(const void* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
}

MDSA_INLINE float LoadHalf(const void* p) {
  std::uint16_t bits;
  __builtin_memcpy(&bits, p, sizeof(bits));
  return _cvtsh_ss(bits);
}
MDSA_INLINE VI LoadBytes(const std::uint8_t* p) {
  return (VI)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
MDSA_INLINE VF ToFloats(VI v) { return _mm256_cvtepi32_ps((__m256i)v); }

class LinearNibbles {
 public:
  MDSA_INLINE LinearNibbles(float scale, float add) : scale_(Set1(scale)), add_(Set1(add)) {}
  MDSA_INLINE explicit LinearNibbles(const std::uint8_t* halves) {
    std::int32_t bits;
    __builtin_memcpy(&bits, halves, sizeof(bits));
    const __m256 pairs = _mm256_cvtph_ps(_mm_set1_epi32(bits));
    scale_ = _mm256_moveldup_ps(pairs);
    add_ = _mm256_movehdup_ps(pairs);
  }
  MDSA_INLINE VF Low(VI bytes) const { return MulAdd(ToFloats(bytes & 15), scale_, add_); }
  MDSA_INLINE VF High(VI bytes) const { return MulAdd(ToFloats(bytes >> 4), scale_, add_); }

 private:
  VF scale_;
  VF add_;
};
class TableNibbles {
 public:
  MDSA_INLINE explicit TableNibbles(const float* table)
      : low_(Load(table)), high_(Load(table + 8)) {}
  // The permutation reads three bits of each index.
  MDSA_INLINE VF Low(VI bytes) const { return Codes(bytes); }
  MDSA_INLINE VF High(VI bytes) const { return Codes(bytes >> 4); }

 private:
  MDSA_INLINE VF Codes(VI codes) const {
    // Bit 3 of the code, moved to the sign, selects the upper half of the table.
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low_, (__m256i)codes),
                            _mm256_permutevar8x32_ps(high_, (__m256i)codes), (__m256)(codes << 28));
  }
  VF low_;
  VF high_;
};

// 32 bytes of NF4 codes to 64 values table[code] * scale.
MDSA_INLINE void DecodeNf4Block(const std::uint8_t* packed, const float* table, float scale,
                                float* out) {
  const __m256 low = _mm256_mul_ps(_mm256_loadu_ps(table), _mm256_set1_ps(scale));
  const __m256 high = _mm256_mul_ps(_mm256_loadu_ps(table + 8), _mm256_set1_ps(scale));
  const auto look_up = [&](__m256i code) {
    // Bit 3 of the code, moved to the sign, selects the upper half of the table.
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, code),
                            _mm256_permutevar8x32_ps(high, code),
                            _mm256_castsi256_ps(_mm256_slli_epi32(code, 28)));
  };
  for (int i = 0; i < 4; ++i) {
    const __m256i bytes =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(packed + 8 * i)));
    const __m256 even = look_up(_mm256_srli_epi32(bytes, 4));
    const __m256 odd = look_up(bytes);
    const __m256 first = _mm256_unpacklo_ps(even, odd);
    const __m256 second = _mm256_unpackhi_ps(even, odd);
    _mm256_storeu_ps(out + 16 * i, _mm256_permute2f128_ps(first, second, 0x20));
    _mm256_storeu_ps(out + 16 * i + 8, _mm256_permute2f128_ps(first, second, 0x31));
  }
}

MDSA_INLINE void TransposeTile(const std::byte* in, std::int64_t in_stride, float* out,
                               std::int64_t out_stride) {
  __m256 r[8];
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 2; ++j) {
      const std::byte* p = in + i * in_stride + 16 * j;
      const auto load = [](const std::byte* at) {
        return _mm_loadu_ps(reinterpret_cast<const float*>(at));
      };
      r[4 * j + i] =
          _mm256_insertf128_ps(_mm256_castps128_ps256(load(p)), load(p + 4 * in_stride), 1);
    }
  }
  for (int j = 0; j < 2; ++j) {
    const __m256 t0 = _mm256_unpacklo_ps(r[4 * j], r[4 * j + 1]);
    const __m256 t1 = _mm256_unpackhi_ps(r[4 * j], r[4 * j + 1]);
    const __m256 t2 = _mm256_unpacklo_ps(r[4 * j + 2], r[4 * j + 3]);
    const __m256 t3 = _mm256_unpackhi_ps(r[4 * j + 2], r[4 * j + 3]);
    float* p = out + 4 * j * out_stride;
    _mm256_storeu_ps(p, _mm256_shuffle_ps(t0, t2, 0x44));
    _mm256_storeu_ps(p + out_stride, _mm256_shuffle_ps(t0, t2, 0xee));
    _mm256_storeu_ps(p + 2 * out_stride, _mm256_shuffle_ps(t1, t3, 0x44));
    _mm256_storeu_ps(p + 3 * out_stride, _mm256_shuffle_ps(t1, t3, 0xee));
  }
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
