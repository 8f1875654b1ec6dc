// The parts of an attention layer that families share: activations by name, rotary positions, and
// attention of packed sequences over their caches.
#pragma once

#include <cstdint>

#include "engine/family.h"
#include "engine/rope.h"

namespace mdsa::engine {

kernels::Activation KernelActivation(HiddenActivation activation);

// Stores workspace.key and value behind each sequence's cached positions, then attends from
// workspace.query to workspace.attention. Keys hidden by a mask and, if causal, later ones are not
// seen. Scores are scaled by 1 / sqrt(head_dim).
void AttendSequences(const Ops& ops, const ArchitectureConfig& config, const RowBatch& batch,
                     std::int64_t layer, bool causal, Workspace& workspace);

// Rotary positions of one model. Immutable and thread-safe.
class Rotary {
 public:
  explicit Rotary(const ArchitectureConfig& config);

  // Fills workspace.cos and sin for the rows of the batch; once a pass.
  void FillTables(const Ops& ops, const RowBatch& batch, Workspace& workspace) const;
  // Rotates workspace.query and workspace.key [rows, ...] by the tables.
  void Rotate(const Ops& ops, std::int64_t rows, Workspace& workspace) const;

 private:
  ArchitectureConfig config_;
  RopeFrequencies frequencies_;  // of sequences within the trained context
};

}  // namespace mdsa::engine
