// Products in pairs of bf16 (vdpbf16ps): two multiply-accumulates per lane, weights rounded to bf16
// only where they have more bits. AVX-512 with BF16 and VBMI.
#pragma once

#include "kernels/matmul_packed-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

constexpr std::int64_t kPair = 2;
constexpr std::int64_t kBf16Lanes = 32;

MDSA_INLINE __m512bh AsBf16(__m512i v) { return (__m512bh)v; }
MDSA_INLINE __m512i LoadInts(const void* p) { return _mm512_loadu_si512(p); }
// Thirty-two fp32 values to bf16, round to nearest even.
MDSA_INLINE __m512i ToBf16(VF low, VF high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }
// n <= 32 values of x, the rest zero.
MDSA_INLINE __m512i LoadToBf16(const float* x, std::int64_t n) {
  if (n >= kBf16Lanes) return ToBf16(Load(x), Load(x + kLanes));
  if (n > kLanes) return ToBf16(Load(x), LoadN(x + kLanes, n - kLanes));
  return ToBf16(LoadN(x, n), Zero());
}
constexpr std::int64_t RoundUpTo(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

struct MacBf16 {
  MDSA_INLINE static VF Broadcast(const float* a) { return Set1(*a); }
  MDSA_INLINE static VF Mac(VF acc, VF a, VF b) {
    return _mm512_dpbf16_ps(acc, AsBf16(_mm512_castps_si512(a)), AsBf16(_mm512_castps_si512(b)));
  }
};

// --- Activations ---

// Rows [begin, end) as bf16, zero padded to whole groups of `kGroup`. Split: each 64 values as the
// even ones, then the odd ones.
template <bool kSplit>
void PrepareBf16Rows(const ActivationArgs& args, std::int64_t begin, std::int64_t end,
                     std::uint16_t* out) {
  constexpr std::int64_t kGroup = kSplit ? 64 : kBf16Lanes;
  const std::int64_t padded = RoundUpTo(args.cols, kGroup);
  std::uint16_t order[kBf16Lanes];
  for (int i = 0; i < kBf16Lanes; ++i) order[i] = static_cast<std::uint16_t>(2 * i);
  const __m512i even = LoadInts(order);
  const __m512i odd = _mm512_add_epi16(even, _mm512_set1_epi16(1));
  for (std::int64_t i = begin; i < end; ++i) {
    const float* x = args.x + i * args.x_stride;
    std::uint16_t* to = out + i * padded;
    for (std::int64_t k = 0; k < padded; k += kGroup) {
      const std::int64_t left = args.cols - k;
      const __m512i first = LoadToBf16(x + k, left);
      if constexpr (kSplit) {
        const __m512i second = left > kBf16Lanes ? LoadToBf16(x + k + kBf16Lanes, left - kBf16Lanes)
                                                 : _mm512_setzero_si512();
        _mm512_storeu_si512(to + k, _mm512_permutex2var_epi16(first, even, second));
        _mm512_storeu_si512(to + k + kBf16Lanes, _mm512_permutex2var_epi16(first, odd, second));
      } else {
        _mm512_storeu_si512(to + k, first);
      }
    }
  }
}

// Chunks [begin, end) as pairs: [cols / 2, rounded up][height] dwords.
inline void PackActivationsBf16(const ActivationArgs& args, std::int64_t begin, std::int64_t end,
                                float* packed) {
  const std::int64_t chunks = ChunkCount(args.m, kMaxTileRows);
  const std::int64_t dwords = (args.cols + 1) / kPair;
  for (std::int64_t c = begin; c < end; ++c) {
    const std::int64_t first = ChunkBegin(args.m, chunks, c);
    const std::int64_t height = ChunkBegin(args.m, chunks, c + 1) - first;
    const float* x = args.x + first * args.x_stride;
    float* out = packed + first * dwords;
    for (std::int64_t k = 0; k < dwords; k += kLanes) {
      float tile[kLanes * kLanes];
      float transposed[kLanes * kLanes];
      for (std::int64_t i = 0; i < kLanes; ++i) {
        const __m512i row =
            i < height ? LoadToBf16(x + i * args.x_stride + kPair * k, args.cols - kPair * k)
                       : _mm512_setzero_si512();
        _mm512_storeu_si512(tile + i * kLanes, row);
      }
      TransposeTile(reinterpret_cast<const std::byte*>(tile), 4 * kLanes, transposed, kLanes);
      const std::int64_t valid = dwords - k < kLanes ? dwords - k : kLanes;
      for (std::int64_t i = 0; i < valid; ++i) {
        StoreN(out + (k + i) * height, Load(transposed + i * kLanes), height);
      }
    }
  }
}

// --- Weights ---

inline void FloatsToBf16(const float* values, std::int64_t count, std::uint16_t* out) {
  for (std::int64_t i = 0; i < count; i += kBf16Lanes) {
    const __m512i v = LoadToBf16(values + i, count - i);
    const std::int64_t valid = count - i < kBf16Lanes ? count - i : kBf16Lanes;
    _mm512_mask_storeu_epi16(out + i, static_cast<__mmask32>((std::uint64_t{1} << valid) - 1), v);
  }
}

// 32 bytes of NF4 codes to 64 bf16 values.
MDSA_INLINE void DecodeNf4BlockBf16(const std::uint8_t* packed, VF table, float scale,
                                    __m512i interleave, std::uint16_t* out) {
  const VF values = Mul(table, Set1(scale));
  for (int i = 0; i < 2; ++i) {
    const __m512i bytes =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + 16 * i)));
    const VF even = _mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), values);
    const VF odd = _mm512_permutexvar_ps(bytes, values);
    _mm512_storeu_si512(out + kBf16Lanes * i,
                        _mm512_permutexvar_epi16(interleave, ToBf16(even, odd)));
  }
}

// Values [begin, begin + count) of the flattened weight as bf16; kInt8 without its row scale.
inline void DecodeBf16(const WeightView& weight, std::int64_t begin, std::int64_t count,
                       std::uint16_t* out) {
  if (count == 0) return;
  const std::byte* data = weight.data;
  if (weight.format == WeightFormat::kBF16) {
    __builtin_memcpy(out, data + 2 * begin, static_cast<std::size_t>(count) * 2);
    return;
  }
  if (weight.format == WeightFormat::kNf4 && begin % quant::kNf4BlockSize == 0 &&
      count % quant::kNf4BlockSize == 0) {
    const VF table = Load(&quant::kNf4Table);
    std::uint16_t order[kBf16Lanes];
    for (int i = 0; i < kLanes; ++i) {
      order[2 * i] = static_cast<std::uint16_t>(i);
      order[2 * i + 1] = static_cast<std::uint16_t>(i + kLanes);
    }
    const __m512i interleave = LoadInts(order);
    const auto* packed = reinterpret_cast<const std::uint8_t*>(data) + begin / 2;
    for (std::int64_t i = 0; i < count; i += quant::kNf4BlockSize) {
      DecodeNf4BlockBf16(packed + i / 2, table,
                         Nf4Scale(weight, (begin + i) / quant::kNf4BlockSize), interleave, out + i);
    }
    return;
  }
  float values[kMaxBlockElements];
  for (std::int64_t i = 0; i < count; i += kMaxBlockElements) {
    const std::int64_t n = count - i < kMaxBlockElements ? count - i : kMaxBlockElements;
    if (weight.format == WeightFormat::kInt8) {
      DecodePlain<Int8Decoder>(data + begin + i, n, Set1(1.0f), values);
    } else {
      Decode(weight, begin + i, n, values);
    }
    FloatsToBf16(values, n, out + i);
  }
}

// As PackWeightFloat; k0 and k count pairs of columns.
inline void PackWeightBf16(const WeightView& weight, std::int64_t row, std::int64_t rows,
                           std::int64_t k0, std::int64_t k, float* piece, float* panel) {
  const std::int64_t cols = weight.cols;
  if (weight.format == WeightFormat::kBF16 && cols % kPair == 0) {
    PackRows(weight.data + 2 * (row * cols + kPair * k0), 2 * cols, rows, k, panel);
    return;
  }
  constexpr std::int64_t kWidth = kMaxBlockElements / kPair;
  auto* values = reinterpret_cast<std::uint16_t*>(piece);
  for (std::int64_t at = 0; at < k; at += kWidth) {
    const std::int64_t n = k - at < kWidth ? k - at : kWidth;
    const std::int64_t first = kPair * (k0 + at);
    const std::int64_t count = cols - first < kPair * n ? cols - first : kPair * n;
    for (std::int64_t i = 0; i < rows; ++i) {
      std::uint16_t* to = values + i * kMaxBlockElements;
      DecodeBf16(weight, (row + i) * cols + first, count, to);
      if (count < kPair * n) to[count] = 0;
    }
    PackRows(reinterpret_cast<const std::byte*>(piece), 2 * kMaxBlockElements, rows, n,
             panel + at * kPanelRows);
  }
}

inline void MultiplyPackedBf16(const ProductArgs& args, std::int64_t row_begin,
                               std::int64_t row_end, std::int64_t begin, std::int64_t end) {
  const WeightView& weight = args.task->weight;
  float* piece = reinterpret_cast<float*>(args.scratch) + kMaxPanelRows * kPanelDepth;
  MultiplyPanels<MacBf16>(
      args, (weight.cols + 1) / kPair, weight.format == WeightFormat::kInt8, row_begin, row_end,
      begin, end,
      [&](std::int64_t row, std::int64_t rows, std::int64_t k0, std::int64_t k, float* panel) {
        PackWeightBf16(weight, row, rows, k0, k, piece, panel);
      });
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
