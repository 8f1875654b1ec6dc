// Fills a WeightStore from a checkpoint: checks everything first, then converts on several threads.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "base/mutex.h"
#include "engine/load.h"
#include "engine/weight_layout.h"
#include "engine/weight_store.h"
#include "mdsa/result.h"

namespace mdsa::engine {

// One load, used once. Not thread-safe; makes its own threads.
class WeightLoader {
 public:
  // `input` must outlive the loader.
  explicit WeightLoader(const BuildInput& input) : input_(input) {}

  Result<WeightStore> Load();

 private:
  struct Item {
    TensorSpec spec;
    const TensorInfo* tensor = nullptr;
    WeightLayout layout;
    bool mapped = false;
    std::uint64_t offset = 0;  // in the page buffer, unless mapped
    kernels::WeightView view;
  };

  Status Collect();
  Status Allocate();
  Status Convert();
  void ConvertItem(Item& item);
  void Fail(Error error) MDSA_EXCLUDES(mutex_);
  bool failed() const MDSA_EXCLUDES(mutex_);
  // One thread at a time calls the application, without the lock; what the others finish meanwhile
  // it reports too, so that nobody waits for a slow callback.
  void Report(std::uint64_t bytes) MDSA_EXCLUDES(mutex_);
  WeightStore Finish();

  const BuildInput& input_;
  std::vector<Item> items_;
  PageBuffer pages_;

  mutable Mutex mutex_;
  std::optional<Error> error_ MDSA_GUARDED_BY(mutex_);
  std::uint64_t bytes_done_ MDSA_GUARDED_BY(mutex_) = 0;
  std::deque<std::uint64_t> unreported_ MDSA_GUARDED_BY(mutex_);  // values of bytes_done_
  bool reporting_ MDSA_GUARDED_BY(mutex_) = false;
};

}  // namespace mdsa::engine
