// What every checkpoint format becomes: named tensors with dtype, shape and bytes. The loader does
// not know which format it reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/dtype.h"
#include "mdsa/result.h"

namespace mdsa {

// How the rows of a matrix are stored relative to the Hugging Face order.
enum class RowOrder : std::uint8_t {
  kNatural,
  // GGUF "llama", attn_q and attn_k: inside each head of D rows, Hugging Face row j < D/2 is stored
  // as row 2j and row D/2 + j as row 2j + 1, for a rotation of neighbours instead of halves.
  kRopeInterleaved,
};

// Never owns: `bytes` lives as long as the source.
struct TensorInfo {
  std::string name;  // Hugging Face name, whatever the format calls it
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;  // row-major, slowest first, as in torch
  std::span<const std::byte> bytes;
  RowOrder row_order = RowOrder::kNatural;
  std::int64_t heads = 0;  // of a kRopeInterleaved matrix

  std::int64_t elements() const {
    std::int64_t n = 1;
    for (std::int64_t dim : shape) n *= dim;
    return n;
  }
};

// Thread-safe: immutable once built.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // In the order of the file. All shapes, sizes and offsets are already validated.
  virtual std::span<const TensorInfo> tensors() const = 0;
  // nullptr if there is none of that name.
  virtual const TensorInfo* Find(std::string_view name) const = 0;
  // The caller is done with these bytes for now: they may leave the resident set.
  virtual void ReleasePages(const TensorInfo& tensor) const = 0;
  // The same for all bytes of the files, headers included.
  virtual void ReleaseAllPages() const {}
  // kFailedPrecondition naming the file if somebody changed it since it was opened, so that the
  // bytes may be different ones or gone; kIo. For whoever keeps `bytes` to ask before each use: one
  // system call a file, no allocation unless it fails.
  virtual Status CheckUnchanged() const { return {}; }
};

}  // namespace mdsa
