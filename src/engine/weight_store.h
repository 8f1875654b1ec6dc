// The weights of one model, by name: views into a few page buffers and into the mapped checkpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/page_buffer.h"
#include "formats/tensor_source.h"
#include "kernels/matmul.h"
#include "mdsa/result.h"

namespace mdsa::engine {

// A linear layer y = x * W^T + b. Never owns.
struct Linear {
  kernels::WeightView weight;
  const float* bias = nullptr;

  kernels::MatMulTask To(float* out) const { return {weight, bias, out, weight.rows}; }
};

// A normalization layer; `bias` is null for RMS norms. Never owns.
struct Norm {
  const float* weight = nullptr;
  const float* bias = nullptr;
};

// Owns the packed weights and keeps the checkpoint mapped while any weight lies in it. Names are
// those of TensorSpec. Built by the loader; immutable and thread-safe afterwards.
class WeightStore {
 public:
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  // The name must exist: the loader has checked every required tensor.
  const kernels::WeightView& Matrix(std::string_view name) const;
  // nullptr if there is none.
  const float* Vector(std::string_view name) const;
  // `name`.weight with `name`.bias if there is one.
  Linear LinearOf(const std::string& name) const;
  Norm NormOf(const std::string& name) const;

  // Of the packed weights, without alignment and tables.
  std::uint64_t bytes() const { return bytes_; }
  // Of those, what lies in the mapped checkpoint.
  std::uint64_t mapped_bytes() const { return mapped_bytes_; }
  // All that the store keeps resident once its weights are used, the mapped ones included.
  std::uint64_t memory_bytes() const;
  std::int64_t parameters() const { return parameters_; }

  // kFailedPrecondition naming the file if weights lie in a checkpoint that was changed since.
  Status CheckUnchanged() const {
    return mapped_ == nullptr ? Status() : mapped_->CheckUnchanged();
  }

 private:
  friend class WeightLoader;

  struct Stored {
    kernels::WeightView view;       // matrices
    const float* vector = nullptr;  // norms and biases
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const {
      return std::hash<std::string_view>()(name);
    }
  };

  const Stored* Find(std::string_view name) const;

  std::unordered_map<std::string, Stored, Hash, std::equal_to<>> tensors_;
  PageBuffer pages_;
  std::shared_ptr<const TensorSource> mapped_;  // null if no weight lies in the checkpoint
  std::uint64_t bytes_ = 0;
  std::uint64_t mapped_bytes_ = 0;
  std::int64_t parameters_ = 0;
};

}  // namespace mdsa::engine
