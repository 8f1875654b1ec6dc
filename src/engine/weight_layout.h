// How one tensor is stored once loaded: the format that its role and the options ask for, and the
// bytes of its parts.
#pragma once

#include <cstdint>

#include "engine/load.h"
#include "formats/tensor_source.h"
#include "kernels/matmul.h"

namespace mdsa::engine {

// Parts follow one another from the tensor's first byte, each aligned to kPartAlignment.
struct WeightLayout {
  kernels::WeightFormat format = kernels::WeightFormat::kF32;
  DType block_type = DType::kQ4_0;  // kBlocks only
  bool same_as_source = false;      // bytes equal the source's: may be mapped instead of copied
  std::int64_t rows = 0;            // vectors: rows = elements, cols = 1
  std::int64_t cols = 0;
  std::uint64_t data_bytes = 0;
  std::uint64_t scale_bytes = 0;   // kInt8: fp32 a row; kNf4: one code a block
  std::uint64_t nested_bytes = 0;  // kNf4: fp32 for 256 blocks

  static constexpr std::uint64_t kPartAlignment = 64;
  std::uint64_t scale_offset() const;
  std::uint64_t nested_offset() const;
  // Of all parts with their padding.
  std::uint64_t allocated_bytes() const;
  // Of all parts without.
  std::uint64_t stored_bytes() const { return data_bytes + scale_bytes + nested_bytes; }
};

// `source_dtype` is a float type; shapes that do not fit a block type have been refused before.
WeightLayout LayoutOf(const TensorSpec& spec, DType source_dtype, const WeightOptions& options);

// Whether the model computes on the source's own bytes, so that nothing is allocated.
bool StaysMapped(const TensorSpec& spec, const TensorInfo& tensor, const WeightLayout& layout);

}  // namespace mdsa::engine
