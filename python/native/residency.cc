#include "residency.h"

#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "convert.h"
#include "error.h"

namespace mdsa::python {
namespace {

using std::chrono::nanoseconds;

constexpr double kCentury = 100.0 * 365.25 * 24 * 3600;

nb::object OrNone(std::optional<std::uint64_t> value) {
  return value ? nb::cast(*value) : nb::none();
}

// A share of the memory is a float; what else there is, bytes or a text, comes as its text.
MemoryLimit ToLimit(const nb::handle& value, const std::string& field) {
  auto limit = nb::isinstance<nb::float_>(value) ? MemoryLimit::Share(nb::cast<double>(value))
                                                 : MemoryLimit::Parse(nb::cast<std::string>(value));
  if (!limit) ThrowInvalidArgument(field + ": " + limit.error().ToString());
  return *limit;
}

void ReadTime(const nb::dict& values, const char* field, nanoseconds& out) {
  if (values.contains(field)) out = ToDuration(nb::cast<double>(values[field]), field);
}

nb::dict FromHistogram(const Histogram& histogram) {
  nb::dict values;
  values["bounds"] = nb::list(nb::cast(Histogram::kBounds));
  values["counts"] = nb::list(nb::cast(histogram.counts));
  values["count"] = histogram.count;
  values["sum"] = histogram.sum;
  return values;
}

nb::dict FromDevice(const ResidencyMetrics::Device& device) {
  nb::dict values;
  values["reserved_bytes"] = device.reserved_bytes;
  values["peak_bytes"] = device.peak_bytes;
  values["limit_bytes"] = OrNone(device.limit_bytes);
  return values;
}

nb::dict FromModel(const ResidencyMetrics::Model& model) {
  nb::dict values;
  values["state"] = ToText(SlotStateName(model.state));
  values["leases"] = model.leases;
  values["pinned"] = model.pinned;
  values["estimated_bytes"] = model.estimated_bytes;
  values["measured_bytes"] = model.measured_bytes;
  values["call_bytes"] = model.call_bytes;
  values["loads"] = model.loads;
  values["last_load_seconds"] = model.last_load_seconds;
  values["estimate_error"] = nb::cast(model.estimate_error());
  return values;
}

}  // namespace

nanoseconds ToDuration(double seconds, const char* field) {
  if (std::isnan(seconds))
    ThrowInvalidArgument(std::string(field) + " must be a number of seconds");
  if (std::abs(seconds) > kCentury) seconds = std::copysign(kCentury, seconds);
  return std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>(seconds));
}

std::optional<nanoseconds> ToTimeout(std::optional<double> seconds) {
  if (!seconds) return std::nullopt;
  if (*seconds < 0) ThrowInvalidArgument("timeout must not be negative");
  return ToDuration(*seconds, "timeout");
}

nb::object FromTimeToLive(std::optional<nanoseconds> time) {
  if (!time || *time == ModelSettings::kForever) return nb::none();
  return nb::cast(std::chrono::duration<double>(*time).count());
}

ResidencyOptions ToResidencyOptions(const nb::dict& values) {
  ResidencyOptions options;
  if (values.contains("max_models")) {
    options.max_models = nb::cast<std::int64_t>(values["max_models"]);
  }
  if (values.contains("max_memory")) {
    options.max_memory = ToLimit(values["max_memory"], "max_memory");
  }
  if (values.contains("max_device_memory")) {
    for (const auto [device, value] : nb::cast<nb::dict>(values["max_device_memory"])) {
      const auto name = nb::cast<std::string>(device);
      const std::string field = "max_device_memory of '" + name + "'";
      const MemoryLimit limit = ToLimit(value, field);
      if (limit.is_share()) ThrowInvalidArgument(field + " must be a number of bytes, not a share");
      options.max_device_memory[name] = Unwrap(limit.Resolve(0));
    }
  }
  if (values.contains("time_to_live")) {
    options.time_to_live = ToDuration(nb::cast<double>(values["time_to_live"]), "time_to_live");
  }
  ReadTime(values, "min_residency", options.min_residency);
  ReadTime(values, "max_queue_wait", options.max_queue_wait);
  ReadTime(values, "wait_timeout", options.wait_timeout);
  ReadTime(values, "retry_delay", options.retry_delay);
  ReadTime(values, "max_retry_delay", options.max_retry_delay);
  ReadTime(values, "report_waits_after", options.report_waits_after);
  return options;
}

nb::dict FromEvent(const ModelEvent& event, std::uint64_t dropped) {
  using Kind = ModelEvent::Kind;
  nb::dict values;
  values["kind"] = ToText(ModelEventKindName(event.kind));
  values["model_id"] = ToText(event.model_id);
  values["time"] = std::chrono::duration<double>(event.time.time_since_epoch()).count();
  switch (event.kind) {
    case Kind::kLoading:
      values["phase"] = event.phase;
      values["bytes_done"] = event.bytes_done;
      values["bytes_total"] = event.bytes_total;
      break;
    case Kind::kReady:
      values["bytes"] = event.bytes;
      values["estimated_bytes"] = event.estimated_bytes;
      values["seconds"] = event.seconds;
      break;
    case Kind::kEvicted:
      values["bytes"] = event.bytes;
      values["reason"] = event.reason ? ToText(EvictionReasonName(*event.reason)) : nb::none();
      values["for_model"] = ToText(event.for_model);
      break;
    case Kind::kFailed:
      values["error"] = event.error ? ToText(event.error->ToString()) : nb::none();
      values["code"] = event.error ? ToText(ErrorCodeName(event.error->code())) : nb::none();
      values["retry_after"] = event.retry_after_seconds;
      break;
    case Kind::kFreed:
      values["bytes"] = event.bytes;
      values["seconds"] = event.seconds;
      break;
    case Kind::kWaiting:
      values["what"] = ToText(event.what);
      values["seconds"] = event.seconds;
      break;
  }
  values["reserved_bytes"] = event.reserved_bytes;
  values["limit_bytes"] = event.limit_bytes == 0 ? nb::none() : nb::cast(event.limit_bytes);
  values["models"] = event.models;
  values["dropped"] = dropped;
  return values;
}

nb::dict FromExplanation(const ResidencyExplanation& explanation) {
  nb::list victims;
  for (const ResidencyExplanation::Victim& victim : explanation.victims) {
    nb::dict one;
    one["model_id"] = victim.model_id;
    one["bytes"] = victim.bytes;
    one["idle_seconds"] = victim.idle_seconds;
    one["reason"] = ToText(EvictionReasonName(victim.reason));
    victims.append(one);
  }
  nb::list kept;
  for (const ResidencyExplanation::Kept& other : explanation.kept) {
    nb::dict one;
    one["model_id"] = other.model_id;
    one["state"] = ToText(SlotStateName(other.state));
    one["bytes"] = other.bytes;
    one["reason"] = ToText(other.reason);
    kept.append(one);
  }
  nb::dict values;
  values["model_id"] = explanation.model_id;
  values["verdict"] = ToText(VerdictName(explanation.verdict));
  values["reason"] = ToText(explanation.reason);
  values["approximate"] = explanation.approximate;
  values["resident_bytes"] = explanation.resident_bytes;
  values["peak_bytes"] = explanation.peak_bytes;
  values["call_bytes"] = explanation.call_bytes;
  values["models"] = explanation.models;
  values["max_models"] = explanation.max_models;
  values["reserved_bytes"] = explanation.reserved_bytes;
  values["limit_bytes"] = OrNone(explanation.limit_bytes);
  values["machine_bytes"] = OrNone(explanation.machine_bytes);
  values["victims"] = victims;
  values["kept"] = kept;
  return values;
}

nb::dict FromMetrics(const ResidencyMetrics& metrics) {
  nb::dict values;
  values["hits"] = metrics.hits;
  values["misses"] = metrics.misses;
  values["loads"] = metrics.loads;
  values["load_failures"] = metrics.load_failures;
  values["loads_cancelled"] = metrics.loads_cancelled;
  values["retries_refused"] = metrics.retries_refused;
  nb::dict evictions;
  for (std::size_t i = 0; i < kEvictionReasons; ++i) {
    evictions[ToText(EvictionReasonName(static_cast<EvictionReason>(i)))] = metrics.evictions[i];
  }
  values["evictions"] = evictions;
  values["unloads"] = metrics.unloads;
  values["revived"] = metrics.revived;
  values["refused"] = metrics.refused;
  values["timeouts"] = metrics.timeouts;
  values["long_waits"] = metrics.long_waits;
  values["sink_failures"] = metrics.sink_failures;
  values["load_seconds"] = FromHistogram(metrics.load_seconds);
  values["wait_seconds"] = FromHistogram(metrics.wait_seconds);
  nb::dict devices;
  for (const auto& device : metrics.devices) devices[ToText(device.device)] = FromDevice(device);
  values["devices"] = devices;
  nb::dict models;
  for (const auto& model : metrics.models) models[ToText(model.model_id)] = FromModel(model);
  values["models"] = models;
  return values;
}

}  // namespace mdsa::python
