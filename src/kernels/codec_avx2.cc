// AVX2, FMA, F16C. Read codec_kernels.h before calling anything from here.
#include <immintrin.h>

#include <bit>
#include <cstring>

#include "base/check.h"
#include "kernels/codec_kernels.h"
#include "quant/gguf_blocks.h"
#include "quant/nf4.h"

namespace mdsa::kernels {
namespace {

constexpr int kNearestEven = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

#include "kernels/codec_numbers_avx2-inl.h"
// Needs the file before it.
#include "kernels/codec_blocks-inl.h"

__m128i Load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
__m256i Load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
void Store64(void* p, __m128i x) { _mm_storel_epi64(static_cast<__m128i*>(p), x); }
void Store128(void* p, __m128i x) { _mm_storeu_si128(static_cast<__m128i*>(p), x); }
void Store256(void* p, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(p), x); }

// Calls convert(in, out) for each 8 elements; the last few go through buffers padded with zeros.
template <typename In, typename Out, typename Convert>
void ForEachEight(const In* in, std::int64_t n, Out* out, Convert convert) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) convert(in + i, out + i);
  if (i == n) return;
  const auto rest = static_cast<std::size_t>(n - i);
  In padded_in[8] = {};
  Out padded_out[8];
  std::memcpy(padded_in, in + i, rest * sizeof(In));
  convert(padded_in, padded_out);
  std::memcpy(out + i, padded_out, rest * sizeof(Out));
}

// Two bytes without alignment.
struct Pair {
  std::byte bytes[2];
};

void DecodeFloat16(const std::byte* bytes, std::int64_t n, float* out) {
  ForEachEight(reinterpret_cast<const Pair*>(bytes), n, out,
               [](const Pair* in, float* o) { _mm256_storeu_ps(o, _mm256_cvtph_ps(Load128(in))); });
}

void DecodeBFloat16(const std::byte* bytes, std::int64_t n, float* out) {
  ForEachEight(reinterpret_cast<const Pair*>(bytes), n, out, [](const Pair* in, float* o) {
    Store256(o, _mm256_slli_epi32(_mm256_cvtepu16_epi32(Load128(in)), 16));
  });
}

void EncodeFloat16(const float* values, std::int64_t n, Float16* out) {
  ForEachEight(values, n, out, [](const float* in, Float16* o) {
    Store128(o, _mm256_cvtps_ph(_mm256_loadu_ps(in), kNearestEven));
  });
}

// Two vectors of 32-bit lanes to one of 16-bit lanes, in order.
__m128i Narrow16(__m256i x) {
  return _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

void EncodeBFloat16(const float* values, std::int64_t n, BFloat16* out) {
  ForEachEight(values, n, out, [](const float* in, BFloat16* o) {
    const __m256 x = _mm256_loadu_ps(in);
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quieted = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i result = _mm256_blendv_epi8(rounded, quieted, nan);
    Store128(o, Narrow16(_mm256_srli_epi32(result, 16)));
  });
}

struct Nf4Bounds {
  float value[15];
};

constexpr Nf4Bounds MakeNf4Bounds() {
  Nf4Bounds bounds{};
  for (int i = 0; i < 15; ++i) {
    bounds.value[i] = std::bit_cast<float>(quant::kNf4BoundBits.data()[i]);
  }
  return bounds;
}

constexpr Nf4Bounds kNf4Bounds = MakeNf4Bounds();

// Binary search over the 15 bounds. A comparison yields 0 or -1 per lane, so the search counts
// downwards: after a level the lane holds minus the number of its node. The permutes use the low
// three bits of that, which is why their tables run backwards.
class Nf4Coder {
 public:
  // Minus the codes of 8 scaled finite values, in 32-bit lanes.
  __m256i NegativeCodes(__m256 scaled) const {
    const __m256 upper = _mm256_cmp_ps(scaled, root_, _CMP_GT_OQ);
    __m256i node = _mm256_castps_si256(upper);
    node = Descend(node, scaled, _mm256_blendv_ps(level2_low_, level2_high_, upper));
    node = Descend(node, scaled, _mm256_permutevar8x32_ps(level3_, node));
    return Descend(node, scaled, _mm256_permutevar8x32_ps(level4_, node));
  }

  // The 16 packed bytes of 32 values.
  __m128i Pack(const float* values, __m256 inverse) const {
    const __m256i c0 = NegativeCodes(_mm256_mul_ps(_mm256_loadu_ps(values), inverse));
    const __m256i c1 = NegativeCodes(_mm256_mul_ps(_mm256_loadu_ps(values + 8), inverse));
    const __m256i c2 = NegativeCodes(_mm256_mul_ps(_mm256_loadu_ps(values + 16), inverse));
    const __m256i c3 = NegativeCodes(_mm256_mul_ps(_mm256_loadu_ps(values + 24), inverse));
    // Packs work within 128-bit lanes: lane L has elements 4L..4L+3 of each of the four vectors.
    const __m256i bytes =
        _mm256_abs_epi8(_mm256_packs_epi16(_mm256_packs_epi32(c0, c1), _mm256_packs_epi32(c2, c3)));
    const __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(0x0110));
    const __m128i words =
        _mm_packus_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    // Word 4L + k of the packed lanes is word 2k + L of the result.
    return _mm_shuffle_epi8(words,
                            _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
  }

 private:
  static constexpr const float* kBounds = kNf4Bounds.value;
  static __m256i Descend(__m256i node, __m256 scaled, __m256 bound) {
    const __m256i above = _mm256_castps_si256(_mm256_cmp_ps(scaled, bound, _CMP_GT_OQ));
    return _mm256_add_epi32(_mm256_add_epi32(node, node), above);
  }

  __m256 root_ = _mm256_set1_ps(kBounds[7]);
  __m256 level2_low_ = _mm256_set1_ps(kBounds[3]);
  __m256 level2_high_ = _mm256_set1_ps(kBounds[11]);
  __m256 level3_ = _mm256_setr_ps(kBounds[1], 0, 0, 0, 0, kBounds[13], kBounds[9], kBounds[5]);
  __m256 level4_ = _mm256_setr_ps(kBounds[0], kBounds[14], kBounds[12], kBounds[10], kBounds[8],
                                  kBounds[6], kBounds[4], kBounds[2]);
};

// Bits of the largest magnitude of a block, which sort like the numbers.
std::uint32_t AbsMaxBits(const float* values) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i a = _mm256_setzero_si256();
  __m256i b = _mm256_setzero_si256();
  for (int i = 0; i < 64; i += 16) {
    a = _mm256_max_epu32(a, _mm256_and_si256(Load256(values + i), magnitude));
    b = _mm256_max_epu32(b, _mm256_and_si256(Load256(values + i + 8), magnitude));
  }
  a = _mm256_max_epu32(a, b);
  __m128i x = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  x = _mm_max_epu32(x, _mm_shuffle_epi32(x, 0x4e));
  x = _mm_max_epu32(x, _mm_shuffle_epi32(x, 0xb1));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(x));
}

void EncodeNf4(const float* values, std::int64_t blocks, std::uint8_t* packed, float* absmax) {
  const Nf4Coder coder;
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::uint32_t bits = AbsMaxBits(values);
    if (bits < 0x7f800000u) {
      const auto scale = __builtin_bit_cast(float, bits);
      absmax[block] = scale;
      const __m256 inverse =
          _mm256_set1_ps(1.0f / (scale < quant::kNf4MinScale ? quant::kNf4MinScale : scale));
      Store128(packed, coder.Pack(values, inverse));
      Store128(packed + 16, coder.Pack(values + 32, inverse));
    } else {
      EncodeNonFiniteNf4Block(values, packed, absmax + block);
    }
    values += quant::kNf4BlockSize;
    packed += quant::kNf4BlockSize / 2;
  }
}

// Largest fp16 magnitude of the row as bits.
std::uint32_t HalfAbsMaxBits(const float* row, std::int64_t n) {
  __m128i largest = _mm_setzero_si128();
  const auto add = [&largest](__m256 x) {
    const __m128i half = _mm256_cvtps_ph(x, kNearestEven);
    largest = _mm_max_epu16(largest, _mm_and_si128(half, _mm_set1_epi16(0x7fff)));
  };
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) add(_mm256_loadu_ps(row + i));
  float rest[8] = {};
  std::memcpy(rest, row + i, static_cast<std::size_t>(n - i) * sizeof(float));
  add(_mm256_loadu_ps(rest));
  // The instruction finds the minimum, so it is given the complement.
  const __m128i complement = _mm_xor_si128(largest, _mm_set1_epi16(-1));
  return ~static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_minpos_epu16(complement))) & 0xffffu;
}

float EncodeInt8Row(const float* row, std::int64_t n, std::int8_t* codes) {
  const std::uint32_t bits = HalfAbsMaxBits(row, n);
  const float scale =
      bits > 0x7c00u ? __builtin_nanf("") : _cvtsh_ss(static_cast<std::uint16_t>(bits));
  const __m256 inverse = _mm256_set1_ps(1.0f / scale * 127.0f);
  ForEachEight(row, n, codes, [inverse](const float* in, std::int8_t* o) {
    const __m256 half = _mm256_cvtph_ps(_mm256_cvtps_ph(_mm256_loadu_ps(in), kNearestEven));
    const __m256 product = _mm256_round_ps(_mm256_mul_ps(half, inverse), kNearestEven);
    // NaN would convert to the smallest integer and saturate; its code is zero.
    const __m256 number = _mm256_and_ps(product, _mm256_cmp_ps(product, product, _CMP_ORD_Q));
    const __m256i code = _mm256_cvtps_epi32(number);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
    Store64(o, _mm_packs_epi16(words, words));
  });
  return scale;
}

}  // namespace

constinit const CodecKernels kAvx2Codec = {
    .decode_float16 = DecodeFloat16,
    .decode_bfloat16 = DecodeBFloat16,
    .decode_blocks = DecodeBlocks,
    .encode_float16 = EncodeFloat16,
    .encode_bfloat16 = EncodeBFloat16,
    .nf4_encode = EncodeNf4,
    .int8_encode_row = EncodeInt8Row,
};

}  // namespace mdsa::kernels
