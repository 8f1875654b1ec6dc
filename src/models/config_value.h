// Values of a configuration file as what they stand for. A problem has the place of the value; its
// message says what was expected and what is there, and leaves naming the key to the caller.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "formats/toml.h"
#include "mdsa/memory_limit.h"
#include "mdsa/model_config.h"
#include "mdsa/result.h"

namespace mdsa {

template <typename T>
using ReadValue = std::expected<T, TomlProblem>;

// "must be <expected>, not <value>".
std::unexpected<TomlProblem> Unexpected(const TomlValue& value, std::string_view expected);
// The message of `error`, made printable.
std::unexpected<TomlProblem> ProblemOf(const TomlValue& value, const Error& error);

ReadValue<std::int64_t> ReadAtLeast(const TomlValue& value, std::int64_t min);
// 1 to 2^31 - 1.
ReadValue<std::int64_t> ReadCount(const TomlValue& value);
// Finite, from 0 up.
ReadValue<double> ReadNumber(const TomlValue& value);
ReadValue<bool> ReadBool(const TomlValue& value);
ReadValue<std::string> ReadText(const TomlValue& value);
// Not empty, and without control characters.
ReadValue<std::string> ReadName(const TomlValue& value);
// A number of seconds, or "500ms", "30s", "10m", "2h"; at most 100 years, so that it can be added
// to a time.
ReadValue<std::chrono::nanoseconds> ReadDuration(const TomlValue& value);
// The same or "forever": nullopt.
ReadValue<std::optional<std::chrono::nanoseconds>> ReadTimeToLive(const TomlValue& value);
// A text as MemoryLimit::Parse reads it, or a number of bytes.
ReadValue<MemoryLimit> ReadMemoryLimit(const TomlValue& value);
// 1 to 3, or a name.
ReadValue<ModelTier> ReadTier(const TomlValue& value);
ReadValue<QuantizationType> ReadQuantization(const TomlValue& value);
ReadValue<std::string> ReadDevice(const TomlValue& value);
ReadValue<std::string> ReadTorchDtype(const TomlValue& value);

}  // namespace mdsa
