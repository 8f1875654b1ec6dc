// Internal to src/kernels: what each target supplies to MatMul (matmul.cc).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matmul.h"

namespace mdsa::kernels {

// How the activations are laid out for a product. The first four serve the dot-product kernels (a
// few activation rows, weights streamed once), the packed ones the blocked product of many rows.
enum class ActivationForm : std::uint8_t {
  kFloat,      // as given
  kBf16,       // [m, cols rounded up to 32] bf16, zero padded
  kSplitBf16,  // the same, each 64 values as 32 even ones, then 32 odd ones: the order of NF4 bytes
  kInt8,       // groups of 64 with one scale each; outliers apart
  kPackedFloat,  // chunks of h rows as [cols][h]
  kPackedBf16,   // chunks of h rows as [cols / 2, rounded up][h] pairs
};
inline constexpr int kActivationForms = 6;
constexpr bool IsPacked(ActivationForm form) { return form >= ActivationForm::kPackedFloat; }

struct ActivationArgs {
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  std::int64_t m = 0;
  std::int64_t cols = 0;
  float outlier_threshold = 0.0f;
};

struct ProductArgs {
  ActivationArgs activations;
  const std::byte* prepared = nullptr;  // activations in the form of the product; unused for kFloat
  const MatMulTask* task = nullptr;
  std::byte* scratch = nullptr;  // [kProductScratchBytes], 64-byte aligned
};

// A panel of 32 weight rows x 2048 dwords, and a piece of it in row-major order.
inline constexpr std::int64_t kPanelDepth = 2048;       // dwords of one weight row per panel
inline constexpr std::int64_t kPieceCols = 64;          // columns decoded at a time
inline constexpr std::int64_t kMaxBlockElements = 256;  // columns decoded at a time, GGUF blocks
inline constexpr std::int64_t kMaxPanelRows = 32;
inline constexpr std::int64_t kProductScratchBytes =
    kMaxPanelRows * (kPanelDepth + kMaxBlockElements) * static_cast<std::int64_t>(sizeof(float));

// Packed activations are cut into this many chunks of nearly equal height.
constexpr std::int64_t ChunkCount(std::int64_t m, std::int64_t max_rows) {
  return (m + max_rows - 1) / max_rows;
}
constexpr std::int64_t ChunkBegin(std::int64_t m, std::int64_t chunks, std::int64_t chunk) {
  return m * chunk / chunks;
}

struct MatMulKernels {
  int max_chunk_rows;  // of the packed forms
  int panel_rows;      // weight rows per panel of the packed forms, and per unit of the others

  // The fastest allowed form for m rows of activations against this weight.
  ActivationForm (*choose_form)(const WeightView& weight, std::int64_t m, bool reduced);
  std::int64_t (*form_bytes)(ActivationForm form, std::int64_t m, std::int64_t cols);
  // Writes rows (chunks, for the packed forms) [begin, end) of the form.
  void (*prepare)(ActivationForm form, const ActivationArgs& args, std::int64_t begin,
                  std::int64_t end, std::byte* prepared);
  // out[:, row_begin..row_end), for activation rows (packed forms: chunks) [begin, end).
  // row_begin is a multiple of panel_rows.
  void (*multiply)(ActivationForm form, const ProductArgs& args, std::int64_t row_begin,
                   std::int64_t row_end, std::int64_t begin, std::int64_t end);
  // Values [begin, begin + count) of the flattened weight.
  void (*decode)(const WeightView& weight, std::int64_t begin, std::int64_t count, float* out);
};

// Values [begin, begin + count) of GGUF blocks, both multiples of the block (codec.h; here so that
// per-target files need no inline function of a shared header).
void DecodeBlocks(DType type, const std::byte* data, std::int64_t begin, std::int64_t count,
                  float* out);

extern const MatMulKernels kMatMulPortable;
extern const MatMulKernels kMatMulAvx2;
extern const MatMulKernels kMatMulAvx512;
extern const MatMulKernels kMatMulAvx512Bf16;

}  // namespace mdsa::kernels
