// Matrix products of fp32 activations with stored weights: y = x * W^T + b.
//
// W is [rows = outputs, cols = inputs], row-major, in its stored format; it is decoded in registers
// or tile by tile and never copied whole. All pointers may be unaligned beyond the alignment of
// their element type. Functions are thread-safe; outputs must not overlap inputs.
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
  const std::byte* data = nullptr;
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

struct MatMulOptions {
  // False: everything in fp32 (the reference path of each target); relative error of the product
  // about 1e-7.
  // True: for weights that are not fp32 a target may round the activations to bf16, or to int8 in
  // groups of 64 with one scale each, and in products of many rows the decoded weights to bf16.
  // Relative error of the product (in the norm): about 0.3 % for bf16, fp16, NF4 and GGUF blocks,
  // 0.6 % for int8.
  bool reduced_activations = true;
  // LLM.int8(): activations of at least this magnitude are multiplied in fp32, never as int8.
  float outlier_threshold = 6.0f;
};

// Several products with the same activations x [m, cols] (row stride x_stride elements), e.g. the
// query, key and value projections, in one parallel section. All tasks have the same weight.cols.
void MatMul(const float* x, std::int64_t x_stride, std::int64_t m,
            std::span<const MatMulTask> tasks, const MatMulOptions& options, ThreadPool& pool);

// Decodes one row to fp32 [cols]: embedding look-up.
void DecodeRow(const WeightView& weight, std::int64_t row, float* out);

}  // namespace mdsa::kernels
