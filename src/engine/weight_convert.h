// Converts one tensor of a checkpoint to its stored form, a slice at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stop_token>

#include "engine/weight_layout.h"
#include "formats/tensor_source.h"
#include "kernels/matmul.h"
#include "mdsa/result.h"

namespace mdsa::engine {

// What ConvertTensor allocates beside the destination: one slice in fp32, which is 256 KiB or one
// row if that is longer; for NF4 up to 64 rows, which end where a block ends, and one fp32 scale
// per 64 values of the tensor. Nothing to speak of where the bytes are copied.
std::uint64_t ConvertScratchBytes(const WeightLayout& layout);

// `destination` has layout.allocated_bytes() and is aligned to
// kPartAlignment. Values may be anything, NaN and infinities included. kCancelled once `stop` is
// requested. Returns the view of the stored matrix (for vectors: of [elements, 1]). Thread-safe.
Result<kernels::WeightView> ConvertTensor(const TensorInfo& tensor, const WeightLayout& layout,
                                          std::byte* destination, const std::stop_token& stop);

// The view of a tensor that stays where the source has it; needs layout.same_as_source.
kernels::WeightView MappedView(const TensorInfo& tensor, const WeightLayout& layout);

}  // namespace mdsa::engine
