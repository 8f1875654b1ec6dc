#include "formats/safetensors_source.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "formats/printable.h"
#include "formats/safetensors.h"

namespace mdsa {
namespace {

std::string FileName(const MappedFile& file) { return file.path().filename().string(); }

}  // namespace

Status SafetensorsSource::ReadHeaders() {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    auto header = ParseSafetensorsHeader(files_[i]->bytes());
    if (!header) {
      return std::unexpected(std::move(header).error().AddContext(files_[i]->path().string()));
    }
    std::ranges::move(header->tensors, std::back_inserter(tensors_));
    file_of_.resize(tensors_.size(), i);
  }
  // Only now: the names must no longer move.
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const auto [other, fresh] = index_.emplace(tensors_[i].name, i);
    if (!fresh) {
      return Err(ErrorCode::kInvalidFormat, "tensor {} is both in {} and in {}",
                 Printable(tensors_[i].name), FileName(*files_[file_of_[other->second]]),
                 FileName(*files_[file_of_[i]]));
    }
  }
  return {};
}

Status SafetensorsSource::CheckIndex(const SafetensorsIndex& index) const {
  for (const auto& [name, shard] : index.weight_map) {
    const auto found = index_.find(name);
    if (found == index_.end() || FileName(*files_[file_of_[found->second]]) != shard) {
      return Err(ErrorCode::kInvalidFormat,
                 "the index maps tensor {} to {}, which does not contain it", Printable(name),
                 Printable(shard));
    }
  }
  return {};
}

Result<std::shared_ptr<const SafetensorsSource>> SafetensorsSource::FromFile(
    std::shared_ptr<const MappedFile> file) {
  std::shared_ptr<SafetensorsSource> source(new SafetensorsSource({std::move(file)}));
  MDSA_TRY(source->ReadHeaders());
  return source;
}

Result<std::shared_ptr<const SafetensorsSource>> SafetensorsSource::FromShards(
    const SafetensorsIndex& index, std::vector<std::shared_ptr<const MappedFile>> shards) {
  MDSA_CHECK(shards.size() == index.shards.size());
  std::shared_ptr<SafetensorsSource> source(new SafetensorsSource(std::move(shards)));
  MDSA_TRY(source->ReadHeaders());
  MDSA_TRY(source->CheckIndex(index));
  return source;
}

const TensorInfo* SafetensorsSource::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

void SafetensorsSource::ReleasePages(const TensorInfo& tensor) const {
  const auto found = index_.find(tensor.name);
  if (found != index_.end()) files_[file_of_[found->second]]->ReleasePages(tensor.bytes);
}

void SafetensorsSource::ReleaseAllPages() const {
  for (const auto& file : files_) file->ReleasePages(file->bytes());
}

Status SafetensorsSource::CheckUnchanged() const {
  for (const auto& file : files_) MDSA_TRY(file->CheckUnchanged());
  return {};
}

}  // namespace mdsa
