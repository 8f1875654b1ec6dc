#include "models/config_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "formats/printable.h"
#include "models/config_value.h"
#include "models/near_miss.h"
#include "models/residency_options.h"

namespace mdsa {
namespace {

using Outcome = std::expected<void, TomlProblem>;

// The first problem in the order of the file, in whatever order they are found.
class FirstProblem {
 public:
  void Add(TomlProblem problem) {
    if (!first_ || problem.position < first_->position) first_ = std::move(problem);
  }
  void Add(std::string_view key, Outcome outcome) {
    if (outcome) return;
    Add({outcome.error().position, fmt::format("{}: {}", key, outcome.error().message)});
  }
  const std::optional<TomlProblem>& get() const { return first_; }

 private:
  std::optional<TomlProblem> first_;
};

template <typename T, typename Member>
Outcome Store(ReadValue<T> value, Member& member) {
  if (!value) return std::unexpected(std::move(value).error());
  member = *std::move(value);
  return {};
}

template <typename Target>
struct Field {
  std::string_view key;
  Outcome (*read)(const TomlValue& value, Target& target);
};

Outcome ReadDeviceMemory(const TomlValue& value, ResidencyOptions& options) {
  const auto* devices = value.As<TomlTable>();
  if (devices == nullptr) {
    return Unexpected(value, "a table of limits by device, such as { \"cuda:0\" = \"6GB\" }");
  }
  for (const TomlEntry& entry : *devices) {
    if (const Status known = CheckLimitedDevice(entry.key); !known) {
      return std::unexpected(TomlProblem{entry.position, known.error().ToString()});
    }
    auto limit = ReadMemoryLimit(entry.value);
    if (!limit) return std::unexpected(std::move(limit).error());
    const auto bytes = limit->Resolve(0);  // a share is of the host's memory
    if (!bytes) return Unexpected(entry.value, "absolute, such as \"6GB\"");
    options.max_device_memory[entry.key] = *bytes;
  }
  return {};
}

using Options = ResidencyOptions;
constexpr std::array kLimitFields = {
    Field<Options>{"max_models", [](const TomlValue& v,
                                    Options& o) { return Store(ReadAtLeast(v, 1), o.max_models); }},
    Field<Options>{
        "max_memory",
        [](const TomlValue& v, Options& o) { return Store(ReadMemoryLimit(v), o.max_memory); }},
    Field<Options>{"max_device_memory", ReadDeviceMemory},
    Field<Options>{
        "time_to_live",
        [](const TomlValue& v, Options& o) { return Store(ReadTimeToLive(v), o.time_to_live); }},
    Field<Options>{
        "min_residency",
        [](const TomlValue& v, Options& o) { return Store(ReadDuration(v), o.min_residency); }},
    Field<Options>{
        "max_queue_wait",
        [](const TomlValue& v, Options& o) { return Store(ReadDuration(v), o.max_queue_wait); }},
    Field<Options>{
        "wait_timeout",
        [](const TomlValue& v, Options& o) { return Store(ReadDuration(v), o.wait_timeout); }},
    Field<Options>{"retry_delay", [](const TomlValue& v,
                                     Options& o) { return Store(ReadDuration(v), o.retry_delay); }},
    Field<Options>{
        "max_retry_delay",
        [](const TomlValue& v, Options& o) { return Store(ReadDuration(v), o.max_retry_delay); }},
    Field<Options>{"report_waits_after",
                   [](const TomlValue& v, Options& o) {
                     return Store(ReadDuration(v), o.report_waits_after);
                   }},
};

constexpr std::array kStoreFields = {
    Field<ConfigFile>{"cache_dir", [](const TomlValue& v,
                                      ConfigFile& f) { return Store(ReadName(v), f.cache_dir); }},
};

// Settings say kForever where the limits say nullopt: there, nullopt is the manager's own.
Outcome ReadModelTimeToLive(const TomlValue& value, DeclaredModel& model) {
  const auto time = ReadTimeToLive(value);
  if (!time) return std::unexpected(time.error());
  model.settings.time_to_live = time->value_or(ModelSettings::kForever);
  return {};
}

using Model = DeclaredModel;
constexpr std::array kModelFields = {
    Field<Model>{"id", [](const TomlValue& v, Model& m) { return Store(ReadName(v), m.id); }},
    Field<Model>{"source", [](const TomlValue& v,
                              Model& m) { return Store(ReadName(v), m.config.model_name); }},
    Field<Model>{"tier",
                 [](const TomlValue& v, Model& m) { return Store(ReadTier(v), m.config.tier); }},
    Field<Model>{"quantization",
                 [](const TomlValue& v, Model& m) {
                   return Store(ReadQuantization(v), m.config.quantization);
                 }},
    Field<Model>{"device", [](const TomlValue& v,
                              Model& m) { return Store(ReadDevice(v), m.config.device); }},
    Field<Model>{"max_length", [](const TomlValue& v,
                                  Model& m) { return Store(ReadCount(v), m.config.max_length); }},
    Field<Model>{"batch_size", [](const TomlValue& v,
                                  Model& m) { return Store(ReadCount(v), m.config.batch_size); }},
    Field<Model>{"torch_dtype",
                 [](const TomlValue& v, Model& m) {
                   return Store(ReadTorchDtype(v), m.config.torch_dtype);
                 }},
    Field<Model>{
        "temperature",
        [](const TomlValue& v, Model& m) { return Store(ReadNumber(v), m.config.temperature); }},
    Field<Model>{
        "pin", [](const TomlValue& v, Model& m) { return Store(ReadBool(v), m.settings.pinned); }},
    Field<Model>{"time_to_live", ReadModelTimeToLive},
    Field<Model>{"preload",
                 [](const TomlValue& v, Model& m) { return Store(ReadBool(v), m.preload); }},
    Field<Model>{"required",
                 [](const TomlValue& v, Model& m) { return Store(ReadBool(v), m.required); }},
    Field<Model>{"warm_up",
                 [](const TomlValue& v, Model& m) { return Store(ReadText(v), m.warm_up); }},
};

const TomlEntry* Find(const TomlTable& table, std::string_view key) {
  const auto entry = std::ranges::find(table, key, &TomlEntry::key);
  return entry != table.end() ? &*entry : nullptr;
}

template <typename Target, std::size_t kCount>
void ReadFields(const TomlTable& table, std::string_view where,
                const std::array<Field<Target>, kCount>& fields, Target& target,
                FirstProblem& problems) {
  for (const TomlEntry& entry : table) {
    const auto field = std::ranges::find(fields, entry.key, &Field<Target>::key);
    if (field != fields.end()) {
      problems.Add(entry.key, field->read(entry.value, target));
      continue;
    }
    std::array<std::string_view, kCount> known;
    std::ranges::transform(fields, known.begin(), &Field<Target>::key);
    problems.Add({entry.position, fmt::format("unknown key {} in {}{}", Printable(entry.key), where,
                                              Suggestion(entry.key, known))});
  }
}

void ReadLimits(const TomlEntry& entry, ConfigFile& file, FirstProblem& problems) {
  const auto* table = entry.value.As<TomlTable>();
  if (table == nullptr) return problems.Add(entry.key, Unexpected(entry.value, "a table"));
  FirstProblem of_fields;
  ReadFields(*table, "[limits]", kLimitFields, file.residency, of_fields);
  if (of_fields.get()) return problems.Add(*of_fields.get());
  // What is left are values that do not go together.
  const auto problem = FindProblem(file.residency);
  if (!problem) return;
  const TomlEntry* written = Find(*table, problem->field);
  if (written == nullptr) written = Find(*table, problem->other_field);
  problems.Add(
      problem->field,
      std::unexpected(TomlProblem{
          written != nullptr ? written->value.position : entry.value.position, problem->message}));
}

void ReadStore(const TomlEntry& entry, ConfigFile& file, FirstProblem& problems) {
  const auto* table = entry.value.As<TomlTable>();
  if (table == nullptr) return problems.Add(entry.key, Unexpected(entry.value, "a table"));
  ReadFields(*table, "[store]", kStoreFields, file, problems);
}

// What the other fields change: the preset of the tier, or the defaults.
ModelConfig BaseConfig(const TomlTable& table) {
  const TomlEntry* entry = Find(table, "tier");
  const auto tier = entry != nullptr ? ReadTier(entry->value) : std::unexpected(TomlProblem{});
  if (!tier) return {};
  switch (*tier) {
    case ModelTier::kTier1:
      return ModelConfig::ForTier1("");
    case ModelTier::kTier2:
      return ModelConfig::ForTier2("");
    case ModelTier::kTier3:
      return ModelConfig::ForTier3("");
  }
  return {};
}

void ReadModels(const TomlEntry& entry, ConfigFile& file, FirstProblem& problems) {
  const auto* tables = entry.value.As<TomlArray>();
  if (tables == nullptr) {
    return problems.Add(entry.key, Unexpected(entry.value, "tables, each headed by [[model]]"));
  }
  std::map<std::string_view, TomlPosition, std::less<>> ids;
  for (const TomlValue& value : *tables) {
    const auto* table = value.As<TomlTable>();
    if (table == nullptr) {
      problems.Add(entry.key, Unexpected(value, "a table"));
      continue;
    }
    DeclaredModel model;
    model.config = BaseConfig(*table);
    ReadFields(*table, "[[model]]", kModelFields, model, problems);
    for (std::string_view needed : {"id", "source"}) {
      if (Find(*table, needed) != nullptr) continue;
      problems.Add({value.position, fmt::format("the key '{}' is missing in [[model]]", needed)});
    }
    if (const TomlEntry* id = Find(*table, "id"); id != nullptr && !model.id.empty()) {
      const auto [first, is_new] = ids.emplace(*id->value.As<std::string>(), id->value.position);
      if (!is_new) {
        problems.Add("id",
                     std::unexpected(TomlProblem{
                         id->value.position,
                         fmt::format("must be unique, but {} is the id of the model of line {} too",
                                     Printable(model.id), first->second.line)}));
      }
    }
    file.models.push_back(std::move(model));
  }
}

struct Section {
  std::string_view key;
  void (*read)(const TomlEntry& entry, ConfigFile& file, FirstProblem& problems);
};
constexpr std::array kSections = {Section{"limits", ReadLimits}, Section{"store", ReadStore},
                                  Section{"model", ReadModels}};
constexpr std::array<std::string_view, 3> kSectionNames = {"limits", "store", "model"};

}  // namespace

std::expected<ConfigFile, TomlProblem> ReadConfig(const TomlTable& table) {
  ConfigFile file;
  FirstProblem problems;
  for (const TomlEntry& entry : table) {
    const auto section = std::ranges::find(kSections, entry.key, &Section::key);
    if (section != kSections.end()) {
      section->read(entry, file, problems);
    } else {
      problems.Add({entry.position, fmt::format("unknown key {}{}", Printable(entry.key),
                                                Suggestion(entry.key, kSectionNames))});
    }
  }
  if (problems.get()) return std::unexpected(*problems.get());
  return file;
}

}  // namespace mdsa
