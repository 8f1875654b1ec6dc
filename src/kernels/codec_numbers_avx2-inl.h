// What codec_blocks-inl.h asks for, for AVX2 and everything above it. Included the same way.

float LoadHalf(const std::uint8_t* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return _cvtsh_ss(bits);
}

struct Numbers {
  __m256i bytes;
};

Numbers Load(const std::uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}

Numbers LoadNibbles(const std::uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m256i both = _mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes);
  return {_mm256_and_si256(both, _mm256_set1_epi8(15))};
}

Numbers LoadBits(const std::uint8_t* p) {
  std::uint32_t word;
  std::memcpy(&word, p, sizeof(word));
  const __m256i byte_of = _mm256_setr_epi64x(0x0000000000000000, 0x0101010101010101,
                                             0x0202020202020202, 0x0303030303030303);
  const __m256i bit_of = _mm256_set1_epi64x(static_cast<std::int64_t>(0x8040201008040201u));
  const __m256i spread =
      _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<std::int32_t>(word)), byte_of);
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit_of), bit_of);
  return {_mm256_and_si256(set, _mm256_set1_epi8(1))};
}

// There is no shift of bytes; the mask removes what comes in from the neighbour.
Numbers Bits(Numbers x, int shift, int mask) {
  const __m256i shifted = _mm256_srl_epi16(x.bytes, _mm_cvtsi32_si128(shift));
  return {_mm256_and_si256(shifted, _mm256_set1_epi8(static_cast<char>(mask)))};
}

Numbers Join(Numbers low, Numbers high) {
  return {_mm256_or_si256(low.bytes, _mm256_slli_epi16(high.bytes, 4))};
}

Numbers Subtract(Numbers x, int y) {
  return {_mm256_sub_epi8(x.bytes, _mm256_set1_epi8(static_cast<char>(y)))};
}

__m256 ToFloats(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)); }

// 16 of the numbers, times a scale.
void StoreHalf(__m128i bytes, float scale, float* out) {
  const __m256 scales = _mm256_set1_ps(scale);
  _mm256_storeu_ps(out, _mm256_mul_ps(ToFloats(bytes), scales));
  _mm256_storeu_ps(out + 8, _mm256_mul_ps(ToFloats(_mm_srli_si128(bytes, 8)), scales));
}

void StoreScaled(Numbers x, float first, float last, float* out) {
  StoreHalf(_mm256_castsi256_si128(x.bytes), first, out);
  StoreHalf(_mm256_extracti128_si256(x.bytes, 1), last, out + 16);
}

// The product is rounded before the addition, as the format's reference does.
void StoreHalf(__m128i bytes, float scale, float add, float* out) {
  const __m256 scales = _mm256_set1_ps(scale);
  const __m256 adds = _mm256_set1_ps(add);
  const __m256 low = _mm256_mul_ps(ToFloats(bytes), scales);
  const __m256 high = _mm256_mul_ps(ToFloats(_mm_srli_si128(bytes, 8)), scales);
  _mm256_storeu_ps(out, _mm256_add_ps(low, adds));
  _mm256_storeu_ps(out + 8, _mm256_add_ps(high, adds));
}

void Store(Numbers x, float scale, float add, float* out) {
  StoreHalf(_mm256_castsi256_si128(x.bytes), scale, add, out);
  StoreHalf(_mm256_extracti128_si256(x.bytes, 1), scale, add, out + 16);
}
