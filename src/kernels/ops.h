// Everything of a forward pass that is not a matrix product. fp32 throughout.
//
// Matrices are row-major [rows, dim] with row stride `dim` unless a stride (in elements) is given.
// In-place use (out == x) is allowed where the comment says so, any other overlap is not. Sizes of
// 0 do nothing. Functions are thread-safe, allocate nothing and cannot fail; results do not depend
// on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/thread_pool.h"

namespace mdsa::kernels {

// out = x / sqrt(mean(x^2) + eps) * weight, per row; weight [dim]. In place allowed.
void RmsNorm(const float* x, std::int64_t rows, std::int64_t dim, const float* weight, float eps,
             float* out, ThreadPool& pool);

// out = (x - mean) / sqrt(variance + eps) * weight + bias, per row, biased variance. In place
// allowed. If `residual` is not null, the row normalized is x + residual.
void LayerNorm(const float* x, const float* residual, std::int64_t rows, std::int64_t dim,
               const float* weight, const float* bias, float eps, float* out, ThreadPool& pool);

// x += y, n elements; on the calling thread.
void AddInPlace(float* x, const float* y, std::int64_t n);

enum class Activation : std::uint8_t {
  kGelu,      // x * 0.5 * (1 + erf(x / sqrt 2))
  kGeluTanh,  // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  kSilu,      // x / (1 + exp(-x))
  kRelu,
  kTanh,
};
// In place over n elements; relative error below 1e-6 of the exact function where |result| > 1e-30.
void Activate(Activation activation, float* x, std::int64_t n, ThreadPool& pool);
// gate = activation(gate) * up, n elements, in place in gate.
void ActivateAndMultiply(Activation activation, float* gate, const float* up, std::int64_t n,
                         ThreadPool& pool);

// Rotary embedding of x [tokens, heads, head_dim] in place; token stride x_stride. cos and sin are
// [tokens, rotary_dim / 2]. Pairs (i, i + rotary_dim / 2) of the first rotary_dim dims are rotated
// (the Hugging Face half-split layout); the rest is untouched.
void Rope(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
          std::int64_t x_stride, const float* cos, const float* sin, std::int64_t rotary_dim,
          ThreadPool& pool);

// Scaled dot-product attention of one sequence.
//
// q [m, heads, head_dim] with token stride q_stride. Keys and values [kv_heads, kv_capacity,
// head_dim]; the first `kv_length` positions are valid; head h uses key/value head h / (heads /
// kv_heads). causal: query i stands at position kv_length - m + i and sees keys up to and including
// it. key_mask [kv_length] (nullable): 0 hides a key from every query. window > 0: a query at
// position p sees keys > p - window only (with causal). A query that sees no key gives zeros. out
// [m, heads, head_dim] with token stride out_stride.
struct AttentionArgs {
  const float* q = nullptr;
  std::int64_t q_stride = 0;
  std::int64_t m = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  const float* keys = nullptr;
  const float* values = nullptr;
  std::int64_t kv_capacity = 0;
  std::int64_t kv_length = 0;
  const std::uint8_t* key_mask = nullptr;
  bool causal = true;
  std::int64_t window = 0;
  float scale = 1.0f;
  float* out = nullptr;
  std::int64_t out_stride = 0;
};
// Scratch that Attention needs for this many queries or fewer and any number of keys, in a pool of
// this many threads.
std::size_t AttentionScratchBytes(std::int64_t m, std::int64_t heads, std::int64_t kv_heads,
                                  std::int64_t head_dim, int threads);
// `scratch` holds at least that, aligned to 64 bytes, and belongs to this call while it runs.
void Attention(const AttentionArgs& args, std::span<std::byte> scratch, ThreadPool& pool);

// Writes softmax(x) over n >= 1 elements in place, computed around the maximum.
void Softmax(float* x, std::int64_t n);
// Index of the largest element, the first of equals; n >= 1. NaN never wins over a number.
std::int64_t ArgMax(const float* x, std::int64_t n);
// sqrt of the sum of squares.
float L2Norm(const float* x, std::int64_t n);

}  // namespace mdsa::kernels
