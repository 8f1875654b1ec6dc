#include "engine/workspace.h"

#include <array>
#include <limits>
#include <utility>

#include "base/byte_count.h"
#include "base/checked_math.h"
#include "base/error.h"
#include "base/heap_bytes.h"
#include "base/page_buffer.h"

namespace mdsa::engine {
namespace {

constexpr std::int64_t kAlignFloats = 16;  // one cache line

struct Part {
  float* Workspace::* pointer;
  std::int64_t width;
};

// Arrays of no width stay null.
std::array<Part, 10> PartsOf(const ArchitectureConfig& config) {
  const std::int64_t query = config.num_heads * config.head_dim;
  const std::int64_t key = config.num_kv_heads * config.head_dim;
  const bool gated = config.family == ModelFamily::kLlama;
  return {Part{&Workspace::hidden, config.hidden_size},
          Part{&Workspace::normed, config.hidden_size},
          Part{&Workspace::query, query},
          Part{&Workspace::key, key},
          Part{&Workspace::value, key},
          Part{&Workspace::attention, query},
          Part{&Workspace::gate, config.intermediate_size},
          Part{&Workspace::up, gated ? config.intermediate_size : 0},
          Part{&Workspace::cos, config.rotary_dim / 2},
          Part{&Workspace::sin, config.rotary_dim / 2}};
}

// Of all parts; kTooManyBytes where that is not to be had.
std::uint64_t FloatsOf(const ArchitectureConfig& config, std::int64_t max_rows,
                       std::size_t scratch_bytes) {
  std::uint64_t total = scratch_bytes / sizeof(float) + 1;
  for (const Part& part : PartsOf(config)) {
    const auto floats = CheckedMul(max_rows, part.width);
    if (!floats || *floats > std::numeric_limits<std::int64_t>::max() - kAlignFloats) {
      return kTooManyBytes;
    }
    total = ByteSum({total, ToBytes(RoundUp(*floats, kAlignFloats))});
  }
  return total;
}

}  // namespace

std::uint64_t Workspace::Bytes(const ArchitectureConfig& config, std::int64_t max_rows,
                               std::size_t scratch_bytes) {
  const std::uint64_t positions =
      config.family == ModelFamily::kBert ? ByteProduct({ToBytes(max_rows), sizeof(TokenId)}) : 0;
  return ByteSum({PageBuffer::Footprint(
                      ByteProduct({FloatsOf(config, max_rows, scratch_bytes), sizeof(float)})),
                  HeapBlockBytes(positions)});
}

Result<Workspace> Workspace::Create(const Ops& ops, const ArchitectureConfig& config,
                                    std::int64_t max_rows) {
  Workspace space;
  space.max_rows_ = max_rows;
  const std::size_t scratch_bytes = ops.ScratchBytes(config, max_rows);
  const std::uint64_t total = FloatsOf(config, max_rows, scratch_bytes);
  if (total >= kTooManyBytes) {
    return Err(ErrorCode::kResourceExhausted, "scratch memory for {} rows exceeds 2^61", max_rows);
  }
  MDSA_ASSIGN(space.memory_, ops.Allocate(static_cast<std::int64_t>(total)));
  float* next = space.memory_->data;
  for (const Part& part : PartsOf(config)) {
    if (part.width == 0) continue;
    space.*part.pointer = next;
    next += RoundUp(max_rows * part.width, kAlignFloats);
  }
  space.scratch = {reinterpret_cast<std::byte*>(next), scratch_bytes};
  return space;
}

}  // namespace mdsa::engine
