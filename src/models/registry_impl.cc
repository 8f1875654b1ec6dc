#include "models/registry_impl.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace mdsa {

Result<RegistryImpl::Removed> MakeRecord(std::string model_id, ModelRegistry::Entry entry) {
  if (model_id.empty()) return Err(ErrorCode::kInvalidArgument, "model_id must not be empty");
  if (!std::isfinite(entry.memory_mb) || entry.memory_mb < 0) {
    return Err(ErrorCode::kInvalidArgument, "memory_mb of '{}' must be a number from 0 up, not {}",
               model_id, entry.memory_mb);
  }
  RegistryImpl::Removed one(1);
  ModelInfo& info = one.front().info;
  info.model_id = std::move(model_id);
  info.config = std::move(entry.config);
  info.model = std::move(entry.model);
  info.foreign = std::move(entry.foreign);
  info.foreign_tokenizer = std::move(entry.foreign_tokenizer);
  info.memory_mb = entry.memory_mb;
  info.loaded_at = std::chrono::system_clock::now();
  info.last_used = info.loaded_at;
  return one;
}

Result<std::vector<std::string>> RegistryImpl::Register(Removed& record, Removed& removed) {
  const MutexLock lock(mutex_);
  const std::string& model_id = record.front().info.model_id;
  if (by_id_.contains(model_id)) {
    return Err(ErrorCode::kAlreadyExists,
               "a model with the id '{}' is registered; unregister it first", model_id);
  }
  std::vector<std::string> evicted;
  while (static_cast<std::int64_t>(records_.size()) >= max_models_) {
    evicted.push_back(records_.front().info.model_id);
    by_id_.erase(evicted.back());
    removed.splice(removed.end(), records_, records_.begin());
  }
  record.front().sequence = next_sequence_++;
  by_id_.emplace(model_id, record.begin());
  records_.splice(records_.end(), record);
  return evicted;
}

std::optional<ModelInfo> RegistryImpl::Get(std::string_view model_id) {
  const MutexLock lock(mutex_);
  const auto found = by_id_.find(model_id);
  if (found == by_id_.end()) return std::nullopt;
  records_.splice(records_.end(), records_, found->second);
  ModelInfo& info = found->second->info;
  ++info.use_count;
  info.last_used = std::chrono::system_clock::now();
  return info;
}

std::optional<ModelInfo> RegistryImpl::Peek(std::string_view model_id) const {
  const MutexLock lock(mutex_);
  const auto found = by_id_.find(model_id);
  if (found == by_id_.end()) return std::nullopt;
  return found->second->info;
}

bool RegistryImpl::IsLoaded(std::string_view model_id) const {
  const MutexLock lock(mutex_);
  return by_id_.contains(model_id);
}

bool RegistryImpl::Unregister(std::string_view model_id, Removed& removed) {
  const MutexLock lock(mutex_);
  const auto found = by_id_.find(model_id);
  if (found == by_id_.end()) return false;
  removed.splice(removed.end(), records_, found->second);
  by_id_.erase(found);
  return true;
}

void RegistryImpl::Clear(Removed& removed) {
  const MutexLock lock(mutex_);
  by_id_.clear();
  removed.splice(removed.end(), records_);
}

std::vector<const RegistryImpl::Record*> RegistryImpl::InRegistrationOrder() const {
  std::vector<const Record*> records;
  records.reserve(records_.size());
  for (const Record& record : records_) records.push_back(&record);
  std::sort(records.begin(), records.end(),
            [](const Record* a, const Record* b) { return a->sequence < b->sequence; });
  return records;
}

std::vector<std::string> RegistryImpl::ListModels() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> ids;
  for (const Record* record : InRegistrationOrder()) ids.push_back(record->info.model_id);
  return ids;
}

RegistryStats RegistryImpl::GetStats() const {
  const MutexLock lock(mutex_);
  RegistryStats stats;
  stats.models_loaded = static_cast<std::int64_t>(records_.size());
  stats.max_models = max_models_;
  for (const Record* record : InRegistrationOrder()) {
    ModelInfo info = record->info;
    // The record keeps its references, so none of these is the last.
    info.model.reset();
    info.foreign.reset();
    info.foreign_tokenizer.reset();
    stats.total_memory_mb += info.memory_mb;
    stats.total_uses += info.use_count;
    stats.models.push_back(std::move(info));
  }
  return stats;
}

std::int64_t RegistryImpl::size() const {
  const MutexLock lock(mutex_);
  return static_cast<std::int64_t>(records_.size());
}

std::int64_t RegistryImpl::max_models() const {
  const MutexLock lock(mutex_);
  return max_models_;
}

void RegistryImpl::SetMaxModels(std::int64_t max_models) {
  const MutexLock lock(mutex_);
  max_models_ = max_models;
}

}  // namespace mdsa
