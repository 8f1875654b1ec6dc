// Internal to src/kernels: what each target supplies to MatMul (matmul.cc).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matmul.h"

namespace mdsa::kernels {

// How the activations of a product are laid out.
enum class ActivationLayout : std::uint8_t {
  kRows,    // as given
  kPicks,   // in the order in which NF4 codes leave their register; matmul_nf4-inl.h
  kChunks,  // chunks of h rows as [cols][h] fp32; matmul_packed-inl.h
  kBytes,   // chunks of h rows as two int8 values each; matmul_int8-inl.h
};

struct ActivationArgs {
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  std::int64_t m = 0;
  std::int64_t cols = 0;
};

struct ProductArgs {
  ActivationArgs activations;
  const std::byte* arranged = nullptr;  // the activations in the layout of the product; not kRows
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

// Bytes of m arranged rows in any layout: kPicks rounds rows up to this many columns.
inline constexpr std::int64_t kArrangedColumns = 128;

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
  int panel_rows;  // weight rows per unit

  // The fastest layout for m rows of activations with this weight.
  ActivationLayout (*choose_layout)(const WeightView& weight, std::int64_t m);
  // Most rows of a chunk; 1 where there are no chunks.
  int (*chunk_rows)(ActivationLayout layout);
  // Writes rows (or chunks) [begin, end), where the layout is not kRows.
  void (*arrange)(ActivationLayout layout, const ActivationArgs& args, std::int64_t begin,
                  std::int64_t end, std::byte* arranged);
  // out[:, row_begin..row_end), for activation rows (or chunks) [begin, end). row_begin is a
  // multiple of panel_rows.
  void (*multiply)(ActivationLayout layout, const ProductArgs& args, std::int64_t row_begin,
                   std::int64_t row_end, std::int64_t begin, std::int64_t end);
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
extern const MatMulKernels kMatMulAvx512Vnni;

}  // namespace mdsa::kernels
