// Matrix products of fp32 activations with stored weights: y = x * W^T + b.
//
// W is [rows = outputs, cols = inputs], row-major, in its stored format; it is decoded in registers
// or tile by tile and never copied whole. Sums are fp32, and so are activations, but for many rows
// against kInt8 weights on a processor with VNNI, which round them to 16 bits in groups of 64
// columns. The relative error of a product is about 1e-7, or 2e-5 with such rows, and does not
// depend on the number of threads. Pointers need the alignment of their element type only.
// Functions are thread-safe, allocate nothing and cannot fail; outputs must not overlap inputs or
// scratch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "formats/dtype.h"

namespace mdsa::kernels {

enum class WeightFormat : std::uint8_t {
  kF32,
  kF16,
  kBF16,
  kInt8,    // quant/int8.h
  kNf4,     // quant/nf4.h; blocks of 64 run through the whole matrix, also across row ends
  kBlocks,  // quant/gguf_blocks.h; cols is a multiple of the block, each row starts a block
};

// Never owns.
struct WeightView {
  WeightFormat format = WeightFormat::kF32;
  DType block_type = DType::kQ4_0;  // kBlocks only
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const std::byte* data = nullptr;             // may be null where rows or cols is 0
  const float* row_scale = nullptr;            // kInt8: SCB [rows]
  const float* absmax = nullptr;               // kNf4 without double quantization: [blocks]
  const std::uint8_t* absmax_codes = nullptr;  // kNf4 with it: [blocks]
  const float* nested_absmax = nullptr;        //               [blocks / 256, rounded up]
  float absmax_offset = 0.0f;
};

struct MatMulTask {
  WeightView weight;
  const float* bias = nullptr;  // [weight.rows] or null
  float* out = nullptr;         // [m, weight.rows], row stride out_stride elements
  std::int64_t out_stride = 0;
};

// Scratch that MatMul needs for m rows of activations with this many columns, or fewer of both, in
// a pool of this many threads.
std::size_t MatMulScratchBytes(std::int64_t m, std::int64_t cols, int threads);

// Several products with the same activations x [m, cols] (row stride x_stride elements), e.g. the
// query, key and value projections, in one parallel section. All tasks have the same weight.cols.
// `scratch` holds at least MatMulScratchBytes, aligned to 64 bytes, and belongs to this call while
// it runs. m <= 0 does nothing; without columns the output is the bias, or zero.
void MatMul(const float* x, std::int64_t x_stride, std::int64_t m,
            std::span<const MatMulTask> tasks, std::span<std::byte> scratch, ThreadPool& pool);

// Decodes one row to fp32 [cols]: embedding look-up.
void DecodeRow(const WeightView& weight, std::int64_t row, float* out);

}  // namespace mdsa::kernels
