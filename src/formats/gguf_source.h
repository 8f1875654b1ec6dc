// The tensors of a GGUF file under their Hugging Face names.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/architecture_config.h"
#include "formats/gguf.h"
#include "formats/tensor_source.h"
#include "io/mapped_file.h"
#include "mdsa/result.h"

namespace mdsa {

// Keeps the map alive. Thread-safe: immutable once built.
//
// Tensors without a Hugging Face name keep their own. A fused attn_qkv of phi2 appears as its
// three parts, which are ranges of its rows.
class GgufSource : public TensorSource {
 public:
  static Result<std::shared_ptr<const GgufSource>> FromFile(std::shared_ptr<const MappedFile> file);

  std::span<const TensorInfo> tensors() const override { return tensors_; }
  const TensorInfo* Find(std::string_view name) const override;
  void ReleasePages(const TensorInfo& tensor) const override;
  void ReleaseAllPages() const override;
  Status CheckUnchanged() const override;

  const GgufFile& gguf() const { return gguf_; }
  const ArchitectureConfig& config() const { return config_; }

 private:
  GgufSource(std::shared_ptr<const MappedFile> file, GgufFile gguf, ArchitectureConfig config)
      : file_(std::move(file)), gguf_(std::move(gguf)), config_(std::move(config)) {}

  Status AddTensor(const GgufTensor& tensor);
  Status SplitAttention(const GgufTensor& tensor, std::string_view layer, std::string_view suffix);

  std::shared_ptr<const MappedFile> file_;
  GgufFile gguf_;  // views into *file_
  ArchitectureConfig config_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, std::size_t> index_;  // name -> position in tensors_
};

}  // namespace mdsa
