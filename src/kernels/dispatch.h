// Which instruction set the kernels use. Chosen once, at first use, from what the processor has.
#pragma once

#include <span>
#include <string_view>

#include "mdsa/result.h"

namespace mdsa::kernels {

// The best target of this machine, or the one named by the environment variable MDSA_CPU_TARGET
// (see SelectTarget). Names: "portable", "avx2", "avx512". Thread-safe.
std::string_view ActiveTarget();

// The targets this machine can run, best first; "portable" is always among them.
std::span<const std::string_view> SupportedTargets();

// Forces a target. kInvalidArgument for an unknown name, kUnsupported for one this machine cannot
// run; both leave the active target as it was. Not to be called while kernels run.
Status SelectTarget(std::string_view name);

// The error of a MDSA_CPU_TARGET that names no target of this machine. ActiveTarget() ignores such
// a name, having no way to report it; whatever a user starts must ask here first. Thread-safe.
Status CheckEnvironmentTarget();

}  // namespace mdsa::kernels
