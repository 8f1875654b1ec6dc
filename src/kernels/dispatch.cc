#include "kernels/dispatch.h"

#include <fmt/ranges.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "kernels/target.h"

namespace mdsa::kernels {
namespace {

constexpr std::array<std::string_view, kTargetCount> kNames = {"portable", "avx2", "avx512",
                                                               "avx512_vnni"};

bool MachineHas(Target target) {
#if defined(__x86_64__)
  switch (target) {
    case Target::kPortable:
      return true;
    case Target::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
    case Target::kAvx512:
      return MachineHas(Target::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    case Target::kAvx512Vnni:
      return MachineHas(Target::kAvx512) && __builtin_cpu_supports("avx512vnni");
  }
  return false;
#else
  return target == Target::kPortable;
#endif
}

Target BestTarget() {
  for (std::size_t i = kTargetCount; i-- > 0;) {
    if (MachineHas(static_cast<Target>(i))) return static_cast<Target>(i);
  }
  return Target::kPortable;
}

Result<Target> TargetByName(std::string_view name) {
  for (std::size_t i = 0; i < kTargetCount; ++i) {
    if (kNames[i] != name) continue;
    const auto target = static_cast<Target>(i);
    if (!MachineHas(target)) {
      return Err(ErrorCode::kUnsupported,
                 "this processor cannot run the kernel target '{}'; the best it can run is '{}'",
                 name, kNames[static_cast<std::size_t>(BestTarget())]);
    }
    return target;
  }
  return Err(ErrorCode::kInvalidArgument, "unknown kernel target '{}'; known are {}", name,
             fmt::join(kNames, ", "));
}

// A static initializer cannot return an error: a wrong MDSA_CPU_TARGET is ignored here and reported
// by CheckEnvironmentTarget().
Target InitialTarget() {
  if (const char* name = std::getenv("MDSA_CPU_TARGET"); name != nullptr && *name != '\0') {
    if (auto target = TargetByName(name)) return *target;
  }
  return BestTarget();
}

std::atomic<Target>& Current() {
  static std::atomic<Target> target = InitialTarget();
  return target;
}

}  // namespace

Target CurrentTarget() { return Current().load(std::memory_order_relaxed); }

std::string_view ActiveTarget() { return kNames[static_cast<std::size_t>(CurrentTarget())]; }

std::span<const std::string_view> SupportedTargets() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> supported;
    for (std::size_t i = kTargetCount; i-- > 0;) {
      if (MachineHas(static_cast<Target>(i))) supported.push_back(kNames[i]);
    }
    return supported;
  }();
  return names;
}

Status SelectTarget(std::string_view name) {
  MDSA_ASSIGN(const Target target, TargetByName(name));
  Current().store(target, std::memory_order_relaxed);
  return {};
}

Status CheckEnvironmentTarget() {
  const char* name = std::getenv("MDSA_CPU_TARGET");
  if (name == nullptr || *name == '\0') return {};
  if (auto target = TargetByName(name); !target) {
    return std::unexpected(std::move(target).error().AddContext("MDSA_CPU_TARGET"));
  }
  return {};
}

}  // namespace mdsa::kernels
