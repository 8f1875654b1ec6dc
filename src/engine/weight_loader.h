// Fills a WeightStore from a checkpoint: checks everything first, then converts on several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

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
  Status AddItem(const TensorSpec& spec);
  Status Allocate();
  Status Convert();
  void ConvertItem(Item& item);
  void Fail(Error error);
  void Report(std::uint64_t bytes);
  WeightStore Finish();

  const BuildInput& input_;
  std::vector<Item> items_;
  PageBuffer pages_;

  std::mutex mutex_;  // guards the rest while threads run
  std::optional<Error> error_;
  std::uint64_t bytes_done_ = 0;
};

}  // namespace mdsa::engine
