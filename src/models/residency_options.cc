#include "models/residency_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <utility>

#include "base/error.h"
#include "formats/printable.h"
#include "hardware/device_name.h"

namespace mdsa {
namespace {

using std::chrono::nanoseconds;

constexpr std::array<std::string_view, kEvictionReasons> kReasonNames = {
    "count", "bytes", "time_to_live", "underestimate"};
constexpr std::array<std::string_view, 6> kEventNames = {"loading", "ready", "evicted",
                                                         "failed",  "freed", "waiting"};
constexpr std::array<std::string_view, 5> kVerdictNames = {"resident", "fits", "evicts", "waits",
                                                           "refused"};

template <typename Enum>
std::string_view NameOf(Enum value, std::span<const std::string_view> names) {
  const auto index = static_cast<std::size_t>(value);
  return index < names.size() ? names[index] : "unknown";
}

std::string Seconds(nanoseconds time) {
  return fmt::format("{} s", std::chrono::duration<double>(time).count());
}

std::optional<OptionProblem> FindMemoryProblem(const ResidencyOptions& options) {
  if (options.max_memory == MemoryLimit::Bytes(0)) {
    return OptionProblem{"max_memory", "must be more than 0 bytes"};
  }
  for (const auto& [device, bytes] : options.max_device_memory) {
    if (auto known = CheckLimitedDevice(device); !known) {
      return OptionProblem{"max_device_memory", known.error().ToString()};
    }
    if (bytes == 0) {
      return OptionProblem{"max_device_memory",
                           fmt::format("must be more than 0 bytes for '{}'", device)};
    }
  }
  return std::nullopt;
}

std::optional<OptionProblem> FindTimeProblem(const ResidencyOptions& options) {
  const std::array<std::pair<std::string_view, nanoseconds>, 7> times = {{
      {"time_to_live", options.time_to_live.value_or(nanoseconds(0))},
      {"min_residency", options.min_residency},
      {"max_queue_wait", options.max_queue_wait},
      {"wait_timeout", options.wait_timeout},
      {"retry_delay", options.retry_delay},
      {"max_retry_delay", options.max_retry_delay},
      {"report_waits_after", options.report_waits_after},
  }};
  for (const auto& [field, time] : times) {
    if (time < nanoseconds(0)) {
      return OptionProblem{field, "must not be negative, as " + Seconds(time) + " is"};
    }
  }
  if (options.max_retry_delay < options.retry_delay) {
    return OptionProblem{
        "max_retry_delay",
        fmt::format("must be at least retry_delay, which is {}, not {}",
                    Seconds(options.retry_delay), Seconds(options.max_retry_delay)),
        "retry_delay"};
  }
  // Its multiples by powers of two are when a wait is reported.
  if (options.report_waits_after == nanoseconds(0)) {
    return OptionProblem{"report_waits_after", "must be more than 0 s"};
  }
  return std::nullopt;
}

}  // namespace

Status CheckLimitedDevice(std::string_view device) {
  const auto name = ParseDeviceName(device);
  const bool is_one =
      name && device != "cuda" &&
      (name->kind == DeviceName::Kind::kCuda || name->kind == DeviceName::Kind::kMps);
  if (is_one) return {};
  return Err(ErrorCode::kInvalidArgument,
             "{} is no device with memory of its own; known are \"cuda:N\" and \"mps\", and the "
             "host's memory is limited by max_memory",
             Printable(device));
}

std::optional<OptionProblem> FindProblem(const ResidencyOptions& options) {
  if (options.max_models < 1) {
    return OptionProblem{"max_models",
                         fmt::format("must be at least 1, not {}", options.max_models)};
  }
  if (auto problem = FindMemoryProblem(options)) return problem;
  return FindTimeProblem(options);
}

Status ResidencyOptions::Validate() const {
  if (const auto problem = FindProblem(*this)) {
    return Err(ErrorCode::kInvalidArgument, "{} {}", problem->field, problem->message);
  }
  return {};
}

std::string_view EvictionReasonName(EvictionReason reason) { return NameOf(reason, kReasonNames); }

std::string_view ModelEventKindName(ModelEvent::Kind kind) { return NameOf(kind, kEventNames); }

std::string_view VerdictName(ResidencyExplanation::Verdict verdict) {
  return NameOf(verdict, kVerdictNames);
}

void Histogram::Add(double seconds) {
  const auto bucket = std::ranges::lower_bound(kBounds, seconds) - kBounds.begin();
  ++counts[static_cast<std::size_t>(bucket)];
  ++count;
  sum += seconds;
}

std::optional<double> ResidencyMetrics::Model::estimate_error() const {
  if (estimated_bytes == 0 || measured_bytes == 0) return std::nullopt;
  const auto measured = static_cast<double>(measured_bytes);
  return (static_cast<double>(estimated_bytes) - measured) / measured;
}

}  // namespace mdsa
