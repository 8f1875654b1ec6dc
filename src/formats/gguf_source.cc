#include "formats/gguf_source.h"

#include <array>
#include <string>
#include <utility>

#include "base/error.h"
#include "formats/gguf_config.h"
#include "formats/gguf_names.h"
#include "formats/printable.h"

namespace mdsa {
namespace {

// How many heads the rows of a permuted matrix form; 0 for any other tensor.
std::int64_t PermutedHeads(const ArchitectureConfig& config, std::string_view gguf_name) {
  if (config.family != ModelFamily::kLlama) return 0;
  if (gguf_name.ends_with(".attn_q.weight") || gguf_name.ends_with(".attn_q.bias")) {
    return config.num_heads;
  }
  if (gguf_name.ends_with(".attn_k.weight") || gguf_name.ends_with(".attn_k.bias")) {
    return config.num_kv_heads;
  }
  return 0;
}

}  // namespace

Status GgufSource::SplitAttention(const GgufTensor& tensor, std::string_view layer,
                                  std::string_view suffix) {
  const std::array<std::pair<std::string_view, std::int64_t>, 3> parts = {
      std::pair("q_proj", config_.num_heads * config_.head_dim),
      std::pair("k_proj", config_.num_kv_heads * config_.head_dim),
      std::pair("v_proj", config_.num_kv_heads * config_.head_dim)};
  const std::int64_t rows = parts[0].second + parts[1].second + parts[2].second;
  const DTypeTraits& traits = TraitsOf(tensor.dtype);
  if (tensor.shape.empty() || tensor.shape[0] != rows ||
      (tensor.shape.size() == 1 && traits.block_elements != 1)) {
    return Err(ErrorCode::kInvalidFormat,
               "tensor {}: expected {} rows for the query, key and value of {} and {} heads of {}",
               Printable(tensor.name), rows, config_.num_heads, config_.num_kv_heads,
               config_.head_dim);
  }
  const std::size_t row_bytes = tensor.bytes.size() / static_cast<std::size_t>(rows);
  std::size_t offset = 0;
  for (const auto& [name, part_rows] : parts) {
    TensorInfo info;
    info.name = fmt::format("model.layers.{}.self_attn.{}.{}", layer, name, suffix);
    info.dtype = tensor.dtype;
    info.shape = tensor.shape;
    info.shape[0] = part_rows;
    info.bytes = tensor.bytes.subspan(offset, row_bytes * static_cast<std::size_t>(part_rows));
    offset += info.bytes.size();
    tensors_.push_back(std::move(info));
  }
  return {};
}

Status GgufSource::AddTensor(const GgufTensor& tensor) {
  if (config_.family == ModelFamily::kPhi) {
    constexpr std::string_view kFused = "attn_qkv.";
    const auto block = ParseGgufBlockName(tensor.name);
    if (block && block->tensor.starts_with(kFused)) {
      return SplitAttention(tensor, block->layer, block->tensor.substr(kFused.size()));
    }
  }
  TensorInfo info;
  info.name = HuggingFaceName(config_.family, tensor.name).value_or(std::string(tensor.name));
  info.dtype = tensor.dtype;
  info.shape = tensor.shape;
  info.bytes = tensor.bytes;
  if (const std::int64_t heads = PermutedHeads(config_, tensor.name); heads != 0) {
    if (tensor.shape.empty() || tensor.shape[0] % (2 * heads) != 0) {
      return Err(ErrorCode::kInvalidFormat,
                 "tensor {}: its rows are not an even number for each of {} heads",
                 Printable(tensor.name), heads);
    }
    info.row_order = RowOrder::kRopeInterleaved;
    info.heads = heads;
  }
  tensors_.push_back(std::move(info));
  return {};
}

Result<std::shared_ptr<const GgufSource>> GgufSource::FromFile(
    std::shared_ptr<const MappedFile> file) {
  const std::string path = file->path().string();
  const auto in_file = [&](Error error) {
    return std::unexpected(std::move(error).AddContext(path));
  };
  auto gguf = ParseGguf(file->bytes());
  if (!gguf) return in_file(std::move(gguf).error());
  auto config = ArchitectureConfigFromGguf(*gguf);
  if (!config) return in_file(std::move(config).error());
  std::shared_ptr<GgufSource> source(
      new GgufSource(std::move(file), *std::move(gguf), *std::move(config)));
  for (const GgufTensor& tensor : source->gguf_.tensors()) {
    if (auto status = source->AddTensor(tensor); !status) {
      return in_file(std::move(status).error());
    }
  }
  // Only now: the names must no longer move.
  for (std::size_t i = 0; i < source->tensors_.size(); ++i) {
    if (!source->index_.emplace(source->tensors_[i].name, i).second) {
      return in_file(
          Error(ErrorCode::kInvalidFormat,
                fmt::format("two tensors stand for {}", Printable(source->tensors_[i].name))));
    }
  }
  return source;
}

const TensorInfo* GgufSource::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

void GgufSource::ReleasePages(const TensorInfo& tensor) const {
  if (index_.contains(tensor.name)) file_->ReleasePages(tensor.bytes);
}

void GgufSource::ReleaseAllPages() const { file_->ReleasePages(file_->bytes()); }

Status GgufSource::CheckUnchanged() const { return file_->CheckUnchanged(); }

}  // namespace mdsa
