// Internal to src/kernels: what each target supplies to the operations of ops.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace mdsa::kernels {

// Attention runs in units: up to kAttentionRows (query, head) rows that share a key/value head,
// against a range of keys. Row r of key/value head k is query r / group, head k * group + r %
// group.
inline constexpr std::int64_t kAttentionRows = 48;
struct AttentionUnit {
  std::int64_t kv_head = 0;
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
  std::int64_t key_begin = 0;
  std::int64_t key_end = 0;
  // Not null: the unit sees a part of the keys only and leaves its sums here instead of writing the
  // output, [row_end - row_begin][AttentionPartialFloats(head_dim)].
  float* partial = nullptr;
};
inline constexpr std::int64_t kAttentionKeyBlock = 128;
// Scratch of a unit, 64-byte aligned. Enough for every target.
std::int64_t AttentionUnitBytes(std::int64_t head_dim);
// Per row: the running maximum, the sum of weights, the weighted sum of values.
// Always inline: see codec_kernels.h.
[[gnu::always_inline]] constexpr std::int64_t AttentionPartialFloats(std::int64_t head_dim) {
  return head_dim + 2;
}

struct OpKernels {
  void (*rms_norm)(const float* x, std::int64_t rows, std::int64_t dim, const float* weight,
                   float eps, float* out);
  void (*layer_norm)(const float* x, const float* residual, std::int64_t rows, std::int64_t dim,
                     const float* weight, const float* bias, float eps, float* out);
  void (*add)(float* x, const float* y, std::int64_t n);
  // x = activation(x), times `factor` where that is not null.
  void (*activate)(Activation activation, float* x, const float* factor, std::int64_t n);
  void (*rope)(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
               std::int64_t x_stride, const float* cos, const float* sin, std::int64_t rotary_dim);
  void (*softmax)(float* x, std::int64_t n);
  std::int64_t (*arg_max)(const float* x, std::int64_t n);
  float (*l2_norm)(const float* x, std::int64_t n);

  void (*attention)(const AttentionArgs& args, const AttentionUnit& unit, std::byte* scratch);
  // Combines the partial sums of units that differ in their keys only, `stride` floats apart.
  void (*attention_merge)(const AttentionArgs& args, const AttentionUnit& first,
                          std::int64_t splits, std::int64_t stride);
};

// The table of the active target.
const OpKernels& ActiveOpKernels();

extern const OpKernels kOpsPortable;
extern const OpKernels kOpsAvx2;
extern const OpKernels kOpsAvx512;

}  // namespace mdsa::kernels
