// The registry's records and rules, for ModelRegistry and for the manager, which needs to take
// victims out under its own lock and free them after it.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "mdsa/model_registry.h"

namespace mdsa {

// Thread-safe. Every function that takes something out splices it onto `removed`, which the caller
// destroys when it holds no lock: the destructor of an object may call back.
class RegistryImpl {
 public:
  struct Record {
    ModelInfo info;
    std::uint64_t sequence = 0;  // order of registration
  };
  using Removed = std::list<Record>;

  explicit RegistryImpl(std::int64_t max_models) : max_models_(max_models) {}

  // `record` is one entry that is moved in on success and left where it is on an error.
  Result<std::vector<std::string>> Register(Removed& record, Removed& removed)
      MDSA_EXCLUDES(mutex_);
  std::optional<ModelInfo> Get(std::string_view model_id) MDSA_EXCLUDES(mutex_);
  std::optional<ModelInfo> Peek(std::string_view model_id) const MDSA_EXCLUDES(mutex_);
  bool IsLoaded(std::string_view model_id) const MDSA_EXCLUDES(mutex_);
  bool Unregister(std::string_view model_id, Removed& removed) MDSA_EXCLUDES(mutex_);
  void Clear(Removed& removed) MDSA_EXCLUDES(mutex_);

  std::vector<std::string> ListModels() const MDSA_EXCLUDES(mutex_);
  RegistryStats GetStats() const MDSA_EXCLUDES(mutex_);
  std::int64_t size() const MDSA_EXCLUDES(mutex_);
  std::int64_t max_models() const MDSA_EXCLUDES(mutex_);
  void SetMaxModels(std::int64_t max_models) MDSA_EXCLUDES(mutex_);

 private:
  // Least recently used first. Invariant: by_id_ has exactly one entry for each record.
  using Records = std::list<Record>;

  std::vector<const Record*> InRegistrationOrder() const MDSA_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::int64_t max_models_ MDSA_GUARDED_BY(mutex_);
  std::uint64_t next_sequence_ MDSA_GUARDED_BY(mutex_) = 0;
  Records records_ MDSA_GUARDED_BY(mutex_);
  std::map<std::string, Records::iterator, std::less<>> by_id_ MDSA_GUARDED_BY(mutex_);
};

// One record to register. kInvalidArgument for an empty id or a negative or non-finite size.
Result<RegistryImpl::Removed> MakeRecord(std::string model_id, ModelRegistry::Entry entry);

}  // namespace mdsa
