#include "engine/attention.h"

#include <cmath>

namespace mdsa::engine {

kernels::Activation KernelActivation(HiddenActivation activation) {
  switch (activation) {
    case HiddenActivation::kGelu:
      return kernels::Activation::kGelu;
    case HiddenActivation::kGeluTanh:
      return kernels::Activation::kGeluTanh;
    case HiddenActivation::kSilu:
      return kernels::Activation::kSilu;
    case HiddenActivation::kRelu:
      return kernels::Activation::kRelu;
  }
  return kernels::Activation::kGelu;
}

void AttendSequences(const Ops& ops, const ArchitectureConfig& config, const RowBatch& batch,
                     std::int64_t layer, bool causal, Workspace& workspace) {
  const std::int64_t query_stride = config.num_heads * config.head_dim;
  const std::int64_t key_stride = config.num_kv_heads * config.head_dim;
  std::int64_t row = 0;
  for (const SequenceRows& sequence : batch.sequences) {
    if (sequence.rows == 0) continue;
    KvCache& cache = *sequence.cache;
    ops.StoreHeads(workspace.key + row * key_stride, sequence.rows, config.num_kv_heads,
                   config.head_dim, cache.keys(layer), cache.capacity(), cache.length());
    ops.StoreHeads(workspace.value + row * key_stride, sequence.rows, config.num_kv_heads,
                   config.head_dim, cache.values(layer), cache.capacity(), cache.length());
    kernels::AttentionArgs args;
    args.q = workspace.query + row * query_stride;
    args.q_stride = query_stride;
    args.m = sequence.rows;
    args.heads = config.num_heads;
    args.kv_heads = config.num_kv_heads;
    args.head_dim = config.head_dim;
    args.keys = cache.keys(layer);
    args.values = cache.values(layer);
    args.kv_capacity = cache.capacity();
    args.kv_length = cache.length() + sequence.rows;
    args.key_mask = sequence.key_mask;
    args.causal = causal;
    args.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
    args.out = workspace.attention + row * query_stride;
    args.out_stride = query_stride;
    ops.Attention(args, workspace.scratch);
    row += sequence.rows;
  }
}

Rotary::Rotary(const ArchitectureConfig& config)
    : config_(config), frequencies_(ComputeRopeFrequencies(config, 0)) {}

void Rotary::FillTables(const Ops& ops, const RowBatch& batch, Workspace& workspace) const {
  const bool stretched = config_.rope_scaling.type == RopeScaling::Type::kDynamic &&
                         batch.full_length > config_.max_position_embeddings;
  const RopeFrequencies longer =
      stretched ? ComputeRopeFrequencies(config_, batch.full_length) : RopeFrequencies();
  const RopeFrequencies& frequencies = stretched ? longer : frequencies_;
  const std::int64_t pairs = config_.rotary_dim / 2;
  std::int64_t row = 0;
  for (const SequenceRows& sequence : batch.sequences) {
    ops.RopeTable(frequencies.inverse, frequencies.scale, sequence.cache->length(), sequence.rows,
                  workspace.cos + row * pairs, workspace.sin + row * pairs);
    row += sequence.rows;
  }
}

void Rotary::Rotate(const Ops& ops, std::int64_t rows, Workspace& workspace) const {
  if (config_.rotary_dim == 0) return;
  ops.Rope(workspace.query, rows, config_.num_heads, config_.head_dim, workspace.cos, workspace.sin,
           config_.rotary_dim);
  ops.Rope(workspace.key, rows, config_.num_kv_heads, config_.head_dim, workspace.cos,
           workspace.sin, config_.rotary_dim);
}

}  // namespace mdsa::engine
