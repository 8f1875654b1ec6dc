#include "config_report.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "mdsa/hardware.h"
#include "models/model_path.h"
#include "text_format.h"

namespace mdsa::cli {
namespace {

using nlohmann::ordered_json;
using std::chrono::nanoseconds;

using Duration = std::optional<nanoseconds>;  // nullopt: forever

// The model's own, or that of all; a pinned one stays.
Duration TimeToLive(const ConfigFile& file, const DeclaredModel& model) {
  if (model.settings.pinned) return std::nullopt;
  const Duration& own = model.settings.time_to_live;
  if (!own) return file.residency.time_to_live;
  return *own == ModelSettings::kForever ? std::nullopt : own;
}

// In the largest unit that needs no decimals, as the file may say it.
std::string DurationText(const Duration& time) {
  if (!time) return "forever";
  struct Unit {
    std::int64_t nanoseconds;
    const char* name;
  };
  constexpr std::array kUnits = {Unit{3'600'000'000'000, "h"}, Unit{60'000'000'000, "m"},
                                 Unit{1'000'000'000, "s"}, Unit{1'000'000, "ms"}};
  if (*time == nanoseconds(0)) return "0s";
  for (const Unit& unit : kUnits) {
    if (time->count() % unit.nanoseconds == 0) {
      return fmt::format("{}{}", time->count() / unit.nanoseconds, unit.name);
    }
  }
  return fmt::format("{}s", std::chrono::duration<double>(*time).count());
}

ordered_json SecondsJson(const Duration& time) {
  if (!time) return nullptr;
  return std::chrono::duration<double>(*time).count();
}

template <typename T>
ordered_json OrNull(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

// Which model the warning is about.
Error Of(const DeclaredModel& model, Error error) {
  return std::move(error).AddContext(fmt::format("model '{}'", model.id));
}

ModelReport ReportOn(const DeclaredModel& model, const ModelLoader& loader,
                     const HardwareInfo& hardware, std::vector<Error>& warnings) {
  ModelReport report;
  if (auto device = ResolveDevice(model.config.device, hardware); !device) {
    warnings.push_back(Of(model, std::move(device).error()));
  }
  const auto folders = CacheSearchPath(model.config.cache_dir, loader.cache_dir());
  auto path = ResolveModelPath(model.config.model_name, folders);
  if (!path) {
    warnings.push_back(Of(model, std::move(path).error()));
    return report;
  }
  report.path = *std::move(path);
  auto memory = loader.EstimateMemory(model.config);
  if (memory) {
    report.memory = *memory;
  } else {
    warnings.push_back(Of(model, std::move(memory).error()));
  }
  return report;
}

// What is asked for together and cannot be had.
void CheckLimits(ConfigReport& report) {
  std::int64_t pinned = 0;
  for (std::size_t i = 0; i < report.models.size(); ++i) {
    const DeclaredModel& model = report.file.models[i];
    pinned += model.settings.pinned ? 1 : 0;
    const auto& memory = report.models[i].memory;
    if (!memory || !report.max_memory_bytes ||
        memory->resident_bytes() <= *report.max_memory_bytes) {
      continue;
    }
    report.warnings.push_back(Of(model, Error(ErrorCode::kResourceExhausted,
                                              fmt::format("needs {}, more than max_memory, {}",
                                                          HumanBytes(memory->resident_bytes()),
                                                          HumanBytes(*report.max_memory_bytes)))));
  }
  if (pinned > report.file.residency.max_models) {
    report.warnings.emplace_back(ErrorCode::kResourceExhausted,
                                 fmt::format("{} models are pinned, more than max_models, {}",
                                             pinned, report.file.residency.max_models));
  }
}

ordered_json LimitsJson(const ConfigReport& report) {
  const ResidencyOptions& limits = report.file.residency;
  ordered_json devices = ordered_json::object();
  for (const auto& [device, bytes] : limits.max_device_memory) devices[device] = bytes;
  ordered_json max_memory = nullptr;
  if (limits.max_memory) max_memory = limits.max_memory->ToString();
  return {{"max_models", limits.max_models},
          {"max_memory", std::move(max_memory)},
          {"max_memory_bytes", OrNull(report.max_memory_bytes)},
          {"max_device_memory_bytes", std::move(devices)},
          {"time_to_live_seconds", SecondsJson(limits.time_to_live)},
          {"min_residency_seconds", SecondsJson(limits.min_residency)},
          {"max_queue_wait_seconds", SecondsJson(limits.max_queue_wait)},
          {"wait_timeout_seconds", SecondsJson(limits.wait_timeout)},
          {"retry_delay_seconds", SecondsJson(limits.retry_delay)},
          {"max_retry_delay_seconds", SecondsJson(limits.max_retry_delay)},
          {"report_waits_after_seconds", SecondsJson(limits.report_waits_after)}};
}

ordered_json ModelJson(const ConfigFile& file, const DeclaredModel& model,
                       const ModelReport& report) {
  const ModelConfig& config = model.config;
  ordered_json json = {{"id", model.id},
                       {"source", config.model_name},
                       {"tier", ModelTierName(config.tier)},
                       {"quantization", QuantizationTypeName(config.quantization)},
                       {"device", config.device},
                       {"max_length", config.max_length},
                       {"batch_size", config.batch_size},
                       {"torch_dtype", OrNull(config.torch_dtype)},
                       {"temperature", config.temperature},
                       {"pin", model.settings.pinned},
                       {"time_to_live_seconds", SecondsJson(TimeToLive(file, model))},
                       {"preload", model.preload},
                       {"required", model.required},
                       {"warm_up", model.warm_up}};
  json["path"] = nullptr;
  json["resident_bytes"] = nullptr;
  json["peak_load_bytes"] = nullptr;
  if (report.path) json["path"] = report.path->string();
  if (report.memory) {
    json["resident_bytes"] = report.memory->resident_bytes();
    json["peak_load_bytes"] = report.memory->peak_load_bytes;
  }
  return json;
}

std::string Summary(const ConfigReport& report) {
  const ResidencyOptions& limits = report.file.residency;
  const std::size_t count = report.models.size();
  std::string memory = "no limit of memory";
  if (report.max_memory_bytes) {
    memory = HumanBytes(*report.max_memory_bytes);
    if (limits.max_memory->is_share()) {
      memory += fmt::format(" ({} of {})", limits.max_memory->ToString(),
                            HumanBytes(report.machine_bytes));
    }
  } else if (limits.max_memory) {
    memory = limits.max_memory->ToString() + " of a memory of unknown size";
  }
  return fmt::format("OK: {} {}, at most {} resident, {}\n", count, count == 1 ? "model" : "models",
                     limits.max_models, memory);
}

std::string MemoryText(const ModelReport& report) {
  if (report.memory) return HumanBytes(report.memory->resident_bytes());
  return report.path ? "unknown" : "not found";
}

std::string ModelTable(const ConfigReport& report) {
  std::vector<std::vector<std::string>> rows = {{"id", "source", "tier", "quantization", "device",
                                                 "max length", "pin", "time to live", "preload",
                                                 "resident"}};
  for (std::size_t i = 0; i < report.models.size(); ++i) {
    const DeclaredModel& model = report.file.models[i];
    rows.push_back({OneLine(model.id), OneLine(model.config.model_name),
                    std::string(ModelTierName(model.config.tier)),
                    std::string(QuantizationTypeName(model.config.quantization)),
                    model.config.device, std::to_string(model.config.max_length),
                    model.settings.pinned ? "yes" : "no",
                    DurationText(TimeToLive(report.file, model)),
                    !model.preload   ? "no"
                    : model.required ? "required"
                                     : "yes",
                    MemoryText(report.models[i])});
  }
  return Table(rows, {false, false, false, false, false, true, false, true, false, true});
}

}  // namespace

ConfigReport ReportOn(ConfigFile file) {
  ConfigReport report;
  report.file = std::move(file);
  const HardwareInfo hardware = DetectHardware();
  report.machine_bytes = hardware.total_memory_bytes;
  if (const auto& limit = report.file.residency.max_memory) {
    auto bytes = limit->Resolve(report.machine_bytes);
    if (bytes) {
      report.max_memory_bytes = *bytes;
    } else {
      report.warnings.push_back(std::move(bytes).error().AddContext("max_memory"));
    }
  }
  const ModelLoader loader(report.file.cache_dir);
  for (const DeclaredModel& model : report.file.models) {
    report.models.push_back(ReportOn(model, loader, hardware, report.warnings));
  }
  CheckLimits(report);
  return report;
}

std::string ReportJson(const std::string& name, const ConfigReport& report) {
  ordered_json models = ordered_json::array();
  for (std::size_t i = 0; i < report.models.size(); ++i) {
    models.push_back(ModelJson(report.file, report.file.models[i], report.models[i]));
  }
  ordered_json warnings = ordered_json::array();
  for (const Error& warning : report.warnings) {
    warnings.push_back({{"code", ErrorCodeName(warning.code())}, {"message", warning.ToString()}});
  }
  ordered_json cache_dir = nullptr;
  if (report.file.cache_dir) cache_dir = report.file.cache_dir->string();
  return DumpJson({{"file", name},
                   {"limits", LimitsJson(report)},
                   {"machine_memory_bytes", report.machine_bytes},
                   {"cache_dir", std::move(cache_dir)},
                   {"models", std::move(models)},
                   {"warnings", std::move(warnings)}});
}

std::string ReportText(const ConfigReport& report) {
  std::string text = Summary(report);
  if (!report.models.empty()) text += fmt::format("\n{}", ModelTable(report));
  if (!report.warnings.empty()) text += "\n";
  for (const Error& warning : report.warnings) {
    text += fmt::format("warning: {}\n", OneLine(warning.ToString()));
  }
  return text;
}

}  // namespace mdsa::cli
