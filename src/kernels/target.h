// Internal to src/kernels: the instruction sets, as an index into each operation group's dispatch
// table.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mdsa::kernels {

// Ordered from least to most capable; each includes the ones before it.
enum class Target : std::uint8_t {
  kPortable,    // plain C++
  kAvx2,        // AVX2, FMA, F16C
  kAvx512,      // AVX-512 F, BW, DQ, VL
  kAvx512Vnni,  // the same with VNNI
};
inline constexpr std::size_t kTargetCount = 4;

// The active target (dispatch.h). Thread-safe, one relaxed load.
Target CurrentTarget();

}  // namespace mdsa::kernels
