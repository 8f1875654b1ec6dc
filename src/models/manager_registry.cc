// The registry's side of the manager, settings and reports.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "models/config_conflict.h"
#include "models/manager_state.h"
#include "models/running_calls.h"

namespace mdsa {
namespace {

using std::chrono::nanoseconds;

double Mb(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

// In memory and, unless it was unloaded, to be found: a model that drains still answers its calls.
bool IsResident(const ResidencyRecord& record) {
  const SlotState state = record.slot->state();
  return !record.closing && (state == SlotState::kReady || state == SlotState::kDraining);
}

Status CheckEntry(std::string_view model_id, double memory_mb) {
  if (model_id.empty()) return Err(ErrorCode::kInvalidArgument, "model_id must not be empty");
  if (!std::isfinite(memory_mb) || memory_mb < 0 || memory_mb > 1e12) {
    return Err(ErrorCode::kInvalidArgument,
               "memory_mb of '{}' must be a number from 0 to 10^12, not {}", model_id, memory_mb);
  }
  return {};
}

std::uint64_t Bytes(double mb) { return static_cast<std::uint64_t>(std::llround(mb * 1e6)); }

std::vector<RecordPtr> InOrder(std::vector<RecordPtr> records) {
  std::erase_if(records, [](const RecordPtr& record) { return !IsResident(*record); });
  std::ranges::sort(records, {}, &ResidencyRecord::sequence);
  return records;
}

}  // namespace

Result<std::vector<std::string>> ManagerState::Register(std::string model_id,
                                                        ModelRegistry::Entry entry) {
  MDSA_TRY(CheckEntry(model_id, entry.memory_mb));
  const Afterwards afterwards(*this);
  std::vector<std::string> evicted;
  const std::uint64_t bytes = Bytes(entry.memory_mb);
  while (true) {
    Victims victims;
    {
      const MutexLock lock(mutex_);
      if (closed_)
        return Err(ErrorCode::kFailedPrecondition, "the manager of '{}' is gone", model_id);
      RecordPtr record = residency_.Find(model_id);
      // One that is being freed is gone already, unless it shall come back.
      const bool is_going = record != nullptr && !flights_.contains(model_id) &&
                            record->slot->state() == SlotState::kUnloading;
      if (record != nullptr && HoldsMemory(record->slot->state()) && !is_going) {
        return Err(ErrorCode::kAlreadyExists,
                   "a model with the id '{}' is registered; unregister it first", model_id);
      }
      if (record != nullptr) CloseRecord(record, Error(ErrorCode::kFailedPrecondition, ""));
      record = residency_.Insert(model_id);
      record->device = entry.device;
      static_cast<void>(hits_.Collect());
      Residency::Step step =
          residency_.TryAtOnce(record, {bytes, 0, 1}, clock_.Now(), EvictionReason::kBytes);
      if (step.kind == Residency::Step::Kind::kGranted) {
        PublishRegistered(record, entry, bytes);
        return evicted;
      }
      residency_.Close(record);
      if (step.victims.empty()) {
        if (step.kind == Residency::Step::Kind::kWait && AwaitFreeing()) continue;
        return std::unexpected(std::move(step.error));
      }
      AnnounceVictims(step.victims);
      victims = std::move(step.victims);
      for (const Residency::Victim& victim : victims) evicted.push_back(victim.record->id());
    }
    Free(std::move(victims));
  }
}

Status ManagerState::MakeRoom(const std::string& model_id, const ModelRegistry::Room& room) {
  MDSA_TRY(CheckEntry(model_id, room.memory_mb));
  MDSA_TRY(CheckEntry(model_id, room.allocated_mb));
  const Afterwards afterwards(*this);
  const bool on_host = room.device == "cpu";
  const Residency::Demand demand{Bytes(room.memory_mb), on_host ? Bytes(room.allocated_mb) : 0, 1};
  while (true) {
    const auto machine =
        on_host && source_.machine_bytes ? source_.machine_bytes() : std::optional<std::uint64_t>();
    Victims victims;
    {
      const MutexLock lock(mutex_);
      static_cast<void>(hits_.Collect());
      // Stands for the object for as long as this lock is held; nobody finds it.
      const auto record = std::make_shared<ResidencyRecord>(model_id);
      record->device = room.device;
      Residency::Step step =
          residency_.TryAtOnce(record, demand, clock_.Now(), EvictionReason::kBytes, machine);
      if (step.kind == Residency::Step::Kind::kGranted) return {};
      if (step.victims.empty()) {
        if (step.kind == Residency::Step::Kind::kWait && AwaitFreeing()) continue;
        return std::unexpected(std::move(step.error));
      }
      AnnounceVictims(step.victims);
      victims = std::move(step.victims);
    }
    Free(std::move(victims));
  }
}

bool ManagerState::AwaitFreeing() {
  if (FreesOnThisThread() || !residency_.IsFreeing()) return false;
  const std::uint64_t seen = version_;
  const auto deadline = Later(clock_.Now(), residency_.options().wait_timeout);
  return clock_.WaitUntil(mutex_, changed_, {}, deadline,
                          [&]() MDSA_REQUIRES(mutex_) { return version_ != seen; });
}

void ManagerState::PublishRegistered(const RecordPtr& record, ModelRegistry::Entry& entry,
                                     std::uint64_t bytes) {
  residency_.StartLoading(*record);
  MDSA_CHECK(residency_.Settle(*record, {bytes, 0, 0}) == 0);
  record->config = entry.config;
  record->reloadable = entry.model != nullptr && entry.config && source_.load != nullptr;
  ModelFacts facts;
  if (entry.model != nullptr && source_.describe) facts = source_.describe(*entry.model);
  facts.memory_bytes = bytes;
  record->body = std::make_shared<const HandleBody>(
      HandleBody{record->slot, weak_from_this(), std::move(facts)});
  const auto now = clock_.Now();
  record->slot->NoteUse(now.time_since_epoch().count(), 0);
  residency_.PublishReady(
      *record,
      {std::move(entry.model), std::move(entry.foreign), std::move(entry.foreign_tokenizer)}, 0,
      now);
  Changed();
}

ModelInfo ManagerState::InfoOf(const RecordPtr& record, bool with_objects) const {
  ModelInfo info;
  info.model_id = record->id();
  info.config = record->config;
  const ModelSlot::Object& object = record->slot->object();
  if (with_objects && object.model != nullptr) info.model = ModelHandle(record->body);
  if (with_objects) {
    info.entry = EntryRef(record->body);
    info.foreign = object.foreign;
    info.foreign_tokenizer = object.foreign_tokenizer;
  }
  info.state = record->slot->state();
  info.memory_mb = Mb(record->model_bytes);
  info.loaded_at = record->loaded_at;
  const nanoseconds idle = clock_.Now().time_since_epoch() - nanoseconds(record->slot->last_use());
  info.last_used = std::max(
      record->loaded_at, std::chrono::system_clock::now() -
                             std::chrono::duration_cast<std::chrono::system_clock::duration>(idle));
  info.use_count = static_cast<std::int64_t>(record->slot->uses());
  info.leases = record->slot->leases();
  info.settings = residency_.settings(record->id());
  return info;
}

std::optional<ModelInfo> ManagerState::Get(std::string_view model_id) {
  const MutexLock lock(mutex_);
  const RecordPtr record = residency_.Find(model_id);
  if (record == nullptr || !IsResident(*record)) return std::nullopt;
  static_cast<void>(hits_.Collect());
  hits_.NoteUse(*record->slot);
  return InfoOf(record, true);
}

std::optional<ModelInfo> ManagerState::Peek(std::string_view model_id) {
  const MutexLock lock(mutex_);
  const RecordPtr record = residency_.Find(model_id);
  if (record == nullptr || !IsResident(*record)) return std::nullopt;
  static_cast<void>(hits_.Collect());
  return InfoOf(record, true);
}

Result<ModelLease> ManagerState::LeaseRegistered(std::string_view model_id) {
  const MutexLock lock(mutex_);
  const RecordPtr record = residency_.Find(model_id);
  if (record == nullptr || !record->slot->TryLease()) {
    return Err(ErrorCode::kNotFound, "no model with the id '{}' is registered", model_id);
  }
  hits_.NoteUse(*record->slot);
  return MakeLease(record->body);
}

bool ManagerState::IsLoaded(std::string_view model_id) const {
  const MutexLock lock(mutex_);
  const RecordPtr record = residency_.Find(model_id);
  return record != nullptr && IsResident(*record);
}

bool ManagerState::Unregister(std::string_view model_id) {
  const Afterwards afterwards(*this);
  Victims victims;
  {
    const MutexLock lock(mutex_);
    const RecordPtr record = residency_.Find(model_id);
    if (record == nullptr || !IsResident(*record)) return false;
    if (residency_.settings(model_id).pinned) return false;
    if (record->reloadable) {
      victims = residency_.Evict(record, clock_.Now());
    } else {
      CloseRecord(record, Error(ErrorCode::kFailedPrecondition, "unregistered"));
      victims = residency_.Sweep(clock_.Now());
    }
    AnnounceVictims(victims);
    Changed();
  }
  Free(std::move(victims));
  return true;
}

std::vector<std::string> ManagerState::ListModels() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> ids;
  for (const RecordPtr& record : InOrder(residency_.All())) ids.push_back(record->id());
  return ids;
}

RegistryStats ManagerState::GetStats() {
  const MutexLock lock(mutex_);
  static_cast<void>(hits_.Collect());
  RegistryStats stats;
  stats.max_models = residency_.options().max_models;
  for (const RecordPtr& record : InOrder(residency_.All())) {
    ModelInfo info = InfoOf(record, false);
    ++stats.models_loaded;
    stats.total_memory_mb += info.memory_mb;
    stats.total_uses += info.use_count;
    stats.models.push_back(std::move(info));
  }
  return stats;
}

std::int64_t ManagerState::size() const {
  const MutexLock lock(mutex_);
  return std::ssize(InOrder(residency_.All()));
}

std::int64_t ManagerState::max_models() const {
  const MutexLock lock(mutex_);
  return residency_.options().max_models;
}

Status ManagerState::SetMaxModels(std::int64_t max_models) {
  ResidencyOptions options;
  options.max_models = max_models;
  MDSA_TRY(options.Validate());
  const MutexLock lock(mutex_);
  residency_.SetMaxModels(max_models);
  Changed();
  return {};
}

ModelSettings ManagerState::settings(std::string_view model_id) const {
  const MutexLock lock(mutex_);
  return residency_.settings(model_id);
}

Status ManagerState::SetSettings(const std::string& model_id, const ModelSettings& settings) {
  return UpdateSettings(model_id, [&](ModelSettings& current) { current = settings; });
}

Status ManagerState::UpdateSettings(const std::string& model_id,
                                    FunctionRef<void(ModelSettings&)> change) {
  if (model_id.empty()) return Err(ErrorCode::kInvalidArgument, "model_id must not be empty");
  const MutexLock lock(mutex_);
  ModelSettings settings = residency_.settings(model_id);
  change(settings);
  if (settings.time_to_live && settings.time_to_live->count() < 0) {
    return Err(ErrorCode::kInvalidArgument, "time_to_live of '{}' must not be negative", model_id);
  }
  if (settings.time_to_live && settings.time_to_live != ModelSettings::kForever) {
    MDSA_TRY(StartHousekeeper());
  }
  residency_.SetSettings(model_id, settings);
  Changed();
  return {};
}

Status ManagerState::Declare(const DeclaredModel& model) {
  MDSA_TRY(model.config.Validate());
  MDSA_TRY(SetSettings(model.id, model.settings));
  const MutexLock lock(mutex_);
  declared_.insert_or_assign(model.id, model);
  return {};
}

std::optional<ModelConfig> ManagerState::ConfigOf(const std::string& model_id) const {
  const MutexLock lock(mutex_);
  const auto config = ConfigFor({model_id}, residency_.Find(model_id).get());
  return config ? std::optional(**config) : std::nullopt;
}

std::vector<DeclaredModel> ManagerState::declared() const {
  const MutexLock lock(mutex_);
  std::vector<DeclaredModel> models;
  for (const auto& [id, model] : declared_) models.push_back(model);
  return models;
}

}  // namespace mdsa
