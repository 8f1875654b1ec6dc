// The tensors of a safetensors checkpoint of one or more files.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/safetensors_index.h"
#include "formats/tensor_source.h"
#include "io/mapped_file.h"
#include "mdsa/result.h"

namespace mdsa {

// Keeps the maps alive. Thread-safe: immutable once built.
class SafetensorsSource : public TensorSource {
 public:
  static Result<std::shared_ptr<const SafetensorsSource>> FromFile(
      std::shared_ptr<const MappedFile> file);

  // `shards` in the order of index.shards. A name may occur in one shard only, and every name of
  // the index must be in the shard it is mapped to.
  static Result<std::shared_ptr<const SafetensorsSource>> FromShards(
      const SafetensorsIndex& index, std::vector<std::shared_ptr<const MappedFile>> shards);

  std::span<const TensorInfo> tensors() const override { return tensors_; }
  const TensorInfo* Find(std::string_view name) const override;
  void ReleasePages(const TensorInfo& tensor) const override;
  void ReleaseAllPages() const override;
  Status CheckUnchanged() const override;

 private:
  explicit SafetensorsSource(std::vector<std::shared_ptr<const MappedFile>> files)
      : files_(std::move(files)) {}

  Status ReadHeaders();
  Status CheckIndex(const SafetensorsIndex& index) const;

  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::size_t> file_of_;                         // parallel to tensors_
  std::unordered_map<std::string_view, std::size_t> index_;  // name -> position in tensors_
};

}  // namespace mdsa
