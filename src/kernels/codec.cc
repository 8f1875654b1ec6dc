#include "kernels/codec.h"

#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "kernels/codec_kernels.h"
#include "kernels/target.h"
#include "quant/nf4.h"

namespace mdsa::kernels {
namespace {

constexpr std::array<const CodecKernels*, kTargetCount> kTables = {
#if defined(__x86_64__)
    &kPortableCodec, &kAvx2Codec, &kAvx512Codec, &kAvx512Codec
#else
    &kPortableCodec, &kPortableCodec, &kPortableCodec, &kPortableCodec
#endif
};

const CodecKernels& Kernels() { return *kTables[static_cast<std::size_t>(CurrentTarget())]; }

// Four exponent bits with bias 7, three mantissa bits; no infinity, NaN where all bits are set.
constexpr float FromF8E4M3(std::uint8_t byte) {
  const std::uint32_t sign = static_cast<std::uint32_t>(byte & 0x80) << 24;
  const std::uint32_t magnitude = byte & 0x7fu;
  if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  // As fp32 bits the exponent is 120 too low; the product is exact, subnormals included.
  const float value = std::bit_cast<float>(magnitude << 20) * 0x1p120f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}

// The upper byte of an fp16.
constexpr float FromF8E5M2(std::uint8_t byte) {
  return ToFloat(Float16{static_cast<std::uint16_t>(byte << 8)});
}

template <float (*kConvert)(std::uint8_t)>
constexpr std::array<float, 256> MakeByteTable() {
  std::array<float, 256> table{};
  for (std::size_t i = 0; i < 256; ++i) table[i] = kConvert(static_cast<std::uint8_t>(i));
  return table;
}

constexpr auto kF8E4M3Table = MakeByteTable<FromF8E4M3>();
constexpr auto kF8E5M2Table = MakeByteTable<FromF8E5M2>();

void DecodeBytes(const std::array<float, 256>& table, const std::byte* bytes,
                 std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = table[static_cast<std::size_t>(bytes[i])];
}

void DecodeFloat64(const std::byte* bytes, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    double value;
    std::memcpy(&value, bytes + i * sizeof(value), sizeof(value));
    out[i] = static_cast<float>(value);
  }
}

}  // namespace

void EncodeNonFiniteNf4Block(const float* values, std::uint8_t* packed, float* absmax) {
  quant::Nf4EncodeReference({values, quant::kNf4BlockSize}, {packed, quant::kNf4BlockSize / 2},
                            {absmax, 1});
}

void DecodeToFloat(DType dtype, const std::byte* bytes, std::span<float> out) {
  const auto n = static_cast<std::int64_t>(out.size());
  MDSA_DCHECK(TraitsOf(dtype).is_float && n % TraitsOf(dtype).block_elements == 0);
  if (n == 0) return;
  switch (dtype) {
    case DType::kF64:
      return DecodeFloat64(bytes, out);
    case DType::kF32:
      std::memcpy(out.data(), bytes, out.size_bytes());
      return;
    case DType::kF16:
      return Kernels().decode_float16(bytes, n, out.data());
    case DType::kBF16:
      return Kernels().decode_bfloat16(bytes, n, out.data());
    case DType::kF8E4M3:
      return DecodeBytes(kF8E4M3Table, bytes, out);
    case DType::kF8E5M2:
      return DecodeBytes(kF8E5M2Table, bytes, out);
    default:
      return Kernels().decode_blocks(dtype, bytes, n, out.data());
  }
}

void EncodeBFloat16(std::span<const float> values, BFloat16* out) {
  Kernels().encode_bfloat16(values.data(), static_cast<std::int64_t>(values.size()), out);
}

void EncodeFloat16(std::span<const float> values, Float16* out) {
  Kernels().encode_float16(values.data(), static_cast<std::int64_t>(values.size()), out);
}

void Nf4Encode(std::span<const float> values, std::span<std::uint8_t> packed,
               std::span<float> absmax) {
  const auto n = static_cast<std::int64_t>(values.size());
  MDSA_DCHECK(static_cast<std::int64_t>(packed.size()) == quant::Nf4PackedBytes(n));
  MDSA_DCHECK(static_cast<std::int64_t>(absmax.size()) == quant::Nf4Blocks(n));
  const std::int64_t blocks = n / quant::kNf4BlockSize;
  Kernels().nf4_encode(values.data(), blocks, packed.data(), absmax.data());
  const auto rest = values.subspan(blocks * quant::kNf4BlockSize);
  quant::Nf4EncodeReference(rest, packed.subspan(blocks * (quant::kNf4BlockSize / 2)),
                            absmax.subspan(blocks));
}

float Int8EncodeRow(std::span<const float> row, std::span<std::int8_t> codes) {
  MDSA_DCHECK(codes.size() == row.size());
  if (row.empty()) return 0.0f;
  return Kernels().int8_encode_row(row.data(), static_cast<std::int64_t>(row.size()), codes.data());
}

}  // namespace mdsa::kernels
