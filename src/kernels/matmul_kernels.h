// Internal to src/kernels: what each target supplies to MatMul (matmul.cc).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matmul.h"

namespace mdsa::kernels {

struct ActivationArgs {
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  std::int64_t m = 0;
  std::int64_t cols = 0;
};

struct ProductArgs {
  ActivationArgs activations;
  const float* packed = nullptr;  // chunks of h rows as [cols][h]; multiply_packed only
  const MatMulTask* task = nullptr;
  std::byte* scratch = nullptr;  // [kProductScratchBytes], 64-byte aligned, of this thread alone
};

// A panel of 32 weight rows x 2048 values, and a piece of it in row-major order.
inline constexpr std::int64_t kPanelDepth = 2048;       // values of one weight row per panel
inline constexpr std::int64_t kPieceCols = 64;          // columns decoded at a time
inline constexpr std::int64_t kMaxBlockElements = 256;  // columns decoded at a time, GGUF blocks
inline constexpr std::int64_t kMaxPanelRows = 32;
inline constexpr std::int64_t kProductScratchBytes =
    kMaxPanelRows * (kPanelDepth + kMaxBlockElements) * static_cast<std::int64_t>(sizeof(float));

// Packed activations are cut into this many chunks of nearly equal height. Always inline: see
// codec_kernels.h.
[[gnu::always_inline]] constexpr std::int64_t ChunkCount(std::int64_t m, std::int64_t max_rows) {
  return (m + max_rows - 1) / max_rows;
}
[[gnu::always_inline]] constexpr std::int64_t ChunkBegin(std::int64_t m, std::int64_t chunks,
                                                         std::int64_t chunk) {
  return m * chunk / chunks;
}

struct MatMulKernels {
  int max_chunk_rows;  // of packed activations
  int panel_rows;      // weight rows per unit

  // Whether m rows of activations run faster packed than as dot products with this weight.
  bool (*pays_to_pack)(const WeightView& weight, std::int64_t m);
  // Writes chunks [begin, end).
  void (*pack_activations)(const ActivationArgs& args, std::int64_t begin, std::int64_t end,
                           float* packed);
  // out[:, row_begin..row_end), for activation rows [begin, end). row_begin is a multiple of
  // panel_rows.
  void (*multiply_dots)(const ProductArgs& args, std::int64_t row_begin, std::int64_t row_end,
                        std::int64_t begin, std::int64_t end);
  // The same for chunks [begin, end) of packed activations.
  void (*multiply_packed)(const ProductArgs& args, std::int64_t row_begin, std::int64_t row_end,
                          std::int64_t begin, std::int64_t end);
  // Values [begin, begin + count) of the flattened weight; within one row for kInt8, whole blocks
  // for kBlocks.
  void (*decode)(const WeightView& weight, std::int64_t begin, std::int64_t count, float* out);
};

// Values [begin, begin + count) of GGUF blocks, both multiples of the block (codec.h; here so that
// per-target files need no inline function of a shared header).
void DecodeBlocks(DType type, const std::byte* data, std::int64_t begin, std::int64_t count,
                  float* out);

extern const MatMulKernels kMatMulPortable;
extern const MatMulKernels kMatMulAvx2;
extern const MatMulKernels kMatMulAvx512;

}  // namespace mdsa::kernels
