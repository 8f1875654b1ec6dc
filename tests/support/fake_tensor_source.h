// A checkpoint in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/tensor_source.h"

namespace mdsa::testing {

// Building is not thread-safe; the const functions are.
class FakeTensorSource final : public TensorSource {
 public:
  // Stores `values` as dtype (kF32, kF16, kBF16, kF64 or kQ8_0). A tensor of the same name is
  // replaced. The bytes start `misalignment` behind a 64-byte boundary.
  void Add(std::string name, std::vector<std::int64_t> shape, std::span<const float> values,
           DType dtype = DType::kF32, std::size_t misalignment = 0);
  // Raw bytes of any dtype.
  void AddBytes(std::string name, std::vector<std::int64_t> shape, DType dtype,
                std::span<const std::byte> bytes, std::size_t misalignment = 0);
  void Remove(std::string_view name);
  TensorInfo& Mutable(std::string_view name);

  std::span<const TensorInfo> tensors() const override { return tensors_; }
  const TensorInfo* Find(std::string_view name) const override;
  void ReleasePages(const TensorInfo& tensor) const override;

  // Names given to ReleasePages so far.
  std::vector<std::string> released() const;

 private:
  std::vector<TensorInfo> tensors_;
  std::deque<std::vector<std::byte>> storage_;
  mutable std::mutex mutex_;  // guards released_
  mutable std::vector<std::string> released_;
};

}  // namespace mdsa::testing
