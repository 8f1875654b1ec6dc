// AVX-512 F, BW, DQ, VL. Read codec_kernels.h before calling anything from here.
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

// The first `n` of 16 lanes; all of them from 16 on.
__mmask16 FirstLanes(std::int64_t n) {
  return n >= 16 ? __mmask16{0xffff} : static_cast<__mmask16>((1u << n) - 1);
}

void DecodeFloat16(const std::byte* bytes, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = FirstLanes(n - i);
    const __m256i halves = _mm256_maskz_loadu_epi16(lanes, bytes + 2 * i);
    _mm512_mask_storeu_ps(out + i, lanes, _mm512_cvtph_ps(halves));
  }
}

void DecodeBFloat16(const std::byte* bytes, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = FirstLanes(n - i);
    const __m256i halves = _mm256_maskz_loadu_epi16(lanes, bytes + 2 * i);
    const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
    _mm512_mask_storeu_epi32(out + i, lanes, bits);
  }
}

void EncodeFloat16(const float* values, std::int64_t n, Float16* out) {
  for (std::int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = FirstLanes(n - i);
    const __m512 x = _mm512_maskz_loadu_ps(lanes, values + i);
    _mm256_mask_storeu_epi16(out + i, lanes, _mm512_cvtps_ph(x, kNearestEven));
  }
}

// Integer arithmetic: the bf16 instructions would flush denormals.
void EncodeBFloat16(const float* values, std::int64_t n, BFloat16* out) {
  const __m512i one = _mm512_set1_epi32(1);
  const __m512i half = _mm512_set1_epi32(0x7fff);
  const __m512i quiet = _mm512_set1_epi32(0x400000);
  for (std::int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = FirstLanes(n - i);
    const __m512 x = _mm512_maskz_loadu_ps(lanes, values + i);
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, half));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i result = _mm512_mask_or_epi32(rounded, nan, bits, quiet);
    _mm256_mask_storeu_epi16(out + i, lanes, _mm512_cvtepi32_epi16(_mm512_srli_epi32(result, 16)));
  }
}

// NF4 codes by look-up. [-1, 1] is cut into 31 cells of width 1/15 around k / 15; the bounds are
// further apart than that, so each cell holds at most one of them: `bound`, or infinity where there
// is none. The code of a value is the number of bounds in the cells before its own (`base`), plus
// one if it is above its cell's bound. Measured 3.3 times as fast as counting over 15 comparisons.
struct alignas(64) Nf4Cells {
  float bound[32];
  std::int32_t base[32];
  bool valid;
};

constexpr Nf4Cells MakeNf4Cells() {
  Nf4Cells cells{};
  cells.valid = true;
  for (float& bound : cells.bound) bound = std::bit_cast<float>(0x7f800000u);
  for (int i = 0; i < 15; ++i) {
    const auto bound = std::bit_cast<float>(quant::kNf4BoundBits.data()[i]);
    const double position = bound * 15.0 + 16.5;
    const int cell = static_cast<int>(position);
    // No bound on the border of two cells, no two in one.
    if (cells.bound[cell] < 1.0f || position == cell) cells.valid = false;
    cells.bound[cell] = bound;
    for (int later = cell + 1; later < 32; ++later) ++cells.base[later];
  }
  return cells;
}

constexpr Nf4Cells kNf4Cells = MakeNf4Cells();
static_assert(kNf4Cells.valid);

class Nf4Coder {
 public:
  // Codes of 16 scaled finite values of at most about one, in 32-bit lanes.
  __m512i Codes(__m512 scaled) const {
    // Adding 1.5 * 2^23 leaves the rounded cell number in the low bits; the permutes use five.
    const __m512i cell =
        _mm512_castps_si512(_mm512_fmadd_ps(scaled, _mm512_set1_ps(15.0f), first_cell_));
    const __m512 bound = _mm512_permutex2var_ps(bound_low_, cell, bound_high_);
    const __m512i base = _mm512_permutex2var_epi32(base_low_, cell, base_high_);
    const __mmask16 above = _mm512_cmp_ps_mask(scaled, bound, _CMP_GT_OQ);
    return _mm512_mask_add_epi32(base, above, base, _mm512_set1_epi32(1));
  }

  // The 32 packed bytes of one block.
  __m256i Pack(const float* values, __m512 inverse) const {
    const __m512i c0 = Codes(_mm512_mul_ps(_mm512_loadu_ps(values), inverse));
    const __m512i c1 = Codes(_mm512_mul_ps(_mm512_loadu_ps(values + 16), inverse));
    const __m512i c2 = Codes(_mm512_mul_ps(_mm512_loadu_ps(values + 32), inverse));
    const __m512i c3 = Codes(_mm512_mul_ps(_mm512_loadu_ps(values + 48), inverse));
    // Packs work within 128-bit lanes: lane L has elements 4L..4L+3 of each of the four vectors.
    const __m512i bytes =
        _mm512_packus_epi16(_mm512_packus_epi32(c0, c1), _mm512_packus_epi32(c2, c3));
    const __m512i pairs = _mm512_maddubs_epi16(bytes, _mm512_set1_epi16(0x0110));
    return _mm256_permutexvar_epi16(order_, _mm512_cvtepi16_epi8(pairs));
  }

 private:
  __m512 first_cell_ = _mm512_set1_ps(0x1.8p23f + 16.0f);
  __m512 bound_low_ = _mm512_load_ps(kNf4Cells.bound);
  __m512 bound_high_ = _mm512_load_ps(kNf4Cells.bound + 16);
  __m512i base_low_ = _mm512_load_si512(kNf4Cells.base);
  __m512i base_high_ = _mm512_load_si512(kNf4Cells.base + 16);
  // Word 4L + k of the packed lanes is word 4k + L of the block.
  __m256i order_ = _mm256_setr_epi16(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
};

// Bits of the largest magnitude, which sort like the numbers, in every one of 16 lanes its own
// part.
__m512i AbsMaxLanes(const float* values) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  const __m512i a = _mm512_and_si512(_mm512_loadu_si512(values), magnitude);
  const __m512i b = _mm512_and_si512(_mm512_loadu_si512(values + 16), magnitude);
  const __m512i c = _mm512_and_si512(_mm512_loadu_si512(values + 32), magnitude);
  const __m512i d = _mm512_and_si512(_mm512_loadu_si512(values + 48), magnitude);
  return _mm512_max_epu32(_mm512_max_epu32(a, b), _mm512_max_epu32(c, d));
}

void EncodeNf4(const float* values, std::int64_t blocks, std::uint8_t* packed, float* absmax) {
  const Nf4Coder coder;
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::uint32_t bits = _mm512_reduce_max_epu32(AbsMaxLanes(values));
    if (bits < 0x7f800000u) {
      const auto scale = __builtin_bit_cast(float, bits);
      absmax[block] = scale;
      const float inverse = 1.0f / (scale < quant::kNf4MinScale ? quant::kNf4MinScale : scale);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(packed),
                          coder.Pack(values, _mm512_set1_ps(inverse)));
    } else {
      EncodeNonFiniteNf4Block(values, packed, absmax + block);
    }
    values += quant::kNf4BlockSize;
    packed += quant::kNf4BlockSize / 2;
  }
}

// Largest fp16 magnitude of the row as bits.
std::uint32_t HalfAbsMaxBits(const float* row, std::int64_t n) {
  __m256i largest = _mm256_setzero_si256();
  for (std::int64_t i = 0; i < n; i += 16) {
    const __m512 x = _mm512_maskz_loadu_ps(FirstLanes(n - i), row + i);
    const __m256i half = _mm512_cvtps_ph(x, kNearestEven);
    largest = _mm256_max_epu16(largest, _mm256_and_si256(half, _mm256_set1_epi16(0x7fff)));
  }
  return _mm512_reduce_max_epu32(_mm512_cvtepu16_epi32(largest));
}

float EncodeInt8Row(const float* row, std::int64_t n, std::int8_t* codes) {
  const std::uint32_t bits = HalfAbsMaxBits(row, n);
  const float scale =
      bits > 0x7c00u ? __builtin_nanf("") : _cvtsh_ss(static_cast<std::uint16_t>(bits));
  const __m512 inverse = _mm512_set1_ps(1.0f / scale * 127.0f);
  for (std::int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = FirstLanes(n - i);
    const __m512 x = _mm512_maskz_loadu_ps(lanes, row + i);
    const __m512 half = _mm512_cvtph_ps(_mm512_cvtps_ph(x, kNearestEven));
    // NaN converts to 0x80000000, of which the low byte is kept: code 0, as wanted.
    const __m512i code = _mm512_cvt_roundps_epi32(_mm512_mul_ps(half, inverse), kNearestEven);
    _mm512_mask_cvtepi32_storeu_epi8(codes + i, lanes, code);
  }
  return scale;
}

}  // namespace

constinit const CodecKernels kAvx512Codec = {
    .decode_float16 = DecodeFloat16,
    .decode_bfloat16 = DecodeBFloat16,
    .decode_blocks = DecodeBlocks,
    .encode_float16 = EncodeFloat16,
    .encode_bfloat16 = EncodeBFloat16,
    .nf4_encode = EncodeNf4,
    .int8_encode_row = EncodeInt8Row,
};

}  // namespace mdsa::kernels
