// Internal to src/kernels: what each instruction set implements of codec.h.
//
// The files that define these tables are compiled for more than the baseline processor. They must
// not call inline functions of shared headers: the linker keeps one copy of such a function for the
// whole program, and could keep the one made for the wider instruction set. Hence raw pointers
// here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/float16.h"
#include "formats/dtype.h"

namespace mdsa::kernels {

struct CodecKernels {
  void (*decode_float16)(const std::byte* bytes, std::int64_t n, float* out);
  void (*decode_bfloat16)(const std::byte* bytes, std::int64_t n, float* out);
  // n is a multiple of the block of `dtype`, which is one of the kQ types.
  void (*decode_blocks)(DType dtype, const std::byte* bytes, std::int64_t n, float* out);
  void (*encode_float16)(const float* values, std::int64_t n, Float16* out);
  void (*encode_bfloat16)(const float* values, std::int64_t n, BFloat16* out);
  // Full blocks only.
  void (*nf4_encode)(const float* values, std::int64_t blocks, std::uint8_t* packed, float* absmax);
  float (*int8_encode_row)(const float* row, std::int64_t n, std::int8_t* codes);
};

extern const CodecKernels kPortableCodec;
extern const CodecKernels kAvx2Codec;
extern const CodecKernels kAvx512Codec;

// One full NF4 block that holds a NaN or an infinity, for which speed does not matter.
void EncodeNonFiniteNf4Block(const float* values, std::uint8_t* packed, float* absmax);

}  // namespace mdsa::kernels
