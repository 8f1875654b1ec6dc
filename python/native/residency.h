// Limits, decisions and numbers of a manager as Python values.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>
#include <cstdint>
#include <optional>

#include "mdsa/model_manager.h"

namespace mdsa::python {

namespace nb = nanobind;

// Seconds; above a century it is for ever. Throws NativeError naming `field`.
std::chrono::nanoseconds ToDuration(double seconds, const char* field);
std::optional<std::chrono::nanoseconds> ToTimeout(std::optional<double> seconds);
// ModelSettings::time_to_live is for ever: None.
nb::object FromTimeToLive(std::optional<std::chrono::nanoseconds> time);

// Keys as the fields of ResidencyOptions; an absent key leaves the default.
ResidencyOptions ToResidencyOptions(const nb::dict& values);

nb::dict FromEvent(const ModelEvent& event, std::uint64_t dropped);
nb::dict FromExplanation(const ResidencyExplanation& explanation);
nb::dict FromMetrics(const ResidencyMetrics& metrics);

}  // namespace mdsa::python
