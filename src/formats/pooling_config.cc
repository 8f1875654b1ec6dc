#include "formats/pooling_config.h"

#include <array>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/error.h"
#include "formats/json.h"
#include "formats/printable.h"

namespace mdsa {
namespace {

struct Module {
  std::string_view kind;  // the class name, without the Python package
  std::string path;
};

Result<std::vector<Module>> ParseModules(const JsonDocument& document) {
  MDSA_ASSIGN(const simdjson::dom::array array, document.RootArray());
  std::vector<Module> modules;
  for (simdjson::dom::element element : array) {
    simdjson::dom::object raw;
    if (element.get(raw) != simdjson::SUCCESS) {
      return Err(ErrorCode::kInvalidFormat, "module {}: expected an object, found {}",
                 modules.size(), JsonTypeName(element));
    }
    const JsonObject object(raw, fmt::format("{}", modules.size()));
    MDSA_ASSIGN(const auto type, object.String("type"));
    MDSA_ASSIGN(const auto path, object.String("path"));
    if (!type) return Err(ErrorCode::kInvalidFormat, "{} is missing", object.Where("type"));
    const std::string_view kind = type->substr(type->rfind('.') + 1);  // npos + 1 == 0
    if (kind != "Transformer" && kind != "Pooling" && kind != "Normalize") {
      return Err(ErrorCode::kUnsupported,
                 "module type {} is not supported; supported are Transformer, Pooling, Normalize",
                 Printable(*type));
    }
    modules.push_back({kind, std::string(path.value_or(""))});
  }
  return modules;
}

bool StaysInFolder(const std::string& path) {
  constexpr std::size_t kMaxName = 255;  // of the file systems
  if (HasControlCharacters(path)) return false;
  const std::filesystem::path relative(path);
  if (relative.is_absolute()) return false;
  bool names_a_folder = false;
  for (const auto& part : relative) {
    if (part == ".." || part.native().size() > kMaxName) return false;
    names_a_folder = names_a_folder || (!part.empty() && part != ".");
  }
  return names_a_folder;
}

struct ModeKey {
  std::string_view flag;            // "pooling_mode_..." of versions before 5
  std::string_view name;            // value of "pooling_mode" since
  std::optional<PoolingMode> mode;  // nullopt: not supported
};
constexpr std::array kModes = {
    ModeKey{"pooling_mode_cls_token", "cls", PoolingMode::kCls},
    ModeKey{"pooling_mode_mean_tokens", "mean", PoolingMode::kMean},
    ModeKey{"pooling_mode_max_tokens", "max", PoolingMode::kMax},
    ModeKey{"pooling_mode_lasttoken", "lasttoken", PoolingMode::kLastToken},
    ModeKey{"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", {}},
    ModeKey{"pooling_mode_weightedmean_tokens", "weightedmean", {}},
};
constexpr std::string_view kSupportedModes = "supported are mean, cls, max, lasttoken";

Result<PoolingMode> ParseMode(const JsonObject& root) {
  if (root.Find("pooling_mode")) {
    MDSA_ASSIGN(const auto name, root.String("pooling_mode"));
    for (const ModeKey& key : kModes) {
      if (key.name == *name && key.mode) return *key.mode;
    }
    return Err(ErrorCode::kUnsupported, "pooling_mode {} is not supported; {}", Printable(*name),
               kSupportedModes);
  }
  const ModeKey* chosen = nullptr;
  bool any_flag = false;
  for (const ModeKey& key : kModes) {
    any_flag = any_flag || root.Find(key.flag).has_value();
    MDSA_ASSIGN(const bool on, root.BoolOr(key.flag, false));
    if (!on) continue;
    if (chosen != nullptr) {
      return Err(ErrorCode::kUnsupported,
                 "{} and {} are both true; joining several poolings is not supported", chosen->flag,
                 key.flag);
    }
    chosen = &key;
  }
  if (chosen == nullptr && !any_flag) return PoolingMode::kMean;  // sentence-transformers' default
  if (chosen == nullptr) return Err(ErrorCode::kInvalidFormat, "no pooling mode is true");
  if (!chosen->mode) {
    return Err(ErrorCode::kUnsupported, "{} is not supported; {}", chosen->flag, kSupportedModes);
  }
  return *chosen->mode;
}

std::unexpected<Error> In(std::string_view file, Error error) {
  return std::unexpected(std::move(error).AddContext(std::string(file)));
}

Result<PoolingMode> ParsePoolingMode(std::string_view json) {
  MDSA_ASSIGN(const JsonDocument document, JsonDocument::Parse(json));
  MDSA_ASSIGN(const JsonObject root, document.RootObject());
  return ParseMode(root);
}

Result<std::int64_t> ParseMaxSeqLength(std::string_view json) {
  if (json.empty()) return 0;
  MDSA_ASSIGN(const JsonDocument document, JsonDocument::Parse(json));
  MDSA_ASSIGN(const JsonObject root, document.RootObject());
  MDSA_ASSIGN(const bool lower_case, root.BoolOr("do_lower_case", false));
  if (lower_case) {
    return Err(
        ErrorCode::kUnsupported,
        "key 'do_lower_case': true is not supported; only the tokenizer may change the case");
  }
  return root.IntegerOr("max_seq_length", 0, 1, 2147483647);
}

}  // namespace

Result<std::string> PoolingModulePath(std::string_view modules_json) {
  MDSA_ASSIGN(const JsonDocument document, JsonDocument::Parse(modules_json));
  MDSA_ASSIGN(const std::vector<Module> modules, ParseModules(document));
  for (const Module& module : modules) {
    if (module.kind != "Pooling") continue;
    if (!StaysInFolder(module.path)) {
      return Err(ErrorCode::kInvalidFormat, "the pooling module's path {} is not inside the folder",
                 Printable(module.path));
    }
    return module.path;
  }
  return Err(ErrorCode::kUnsupported, "there is no Pooling module");
}

Result<PoolingConfig> ParsePoolingConfig(std::string_view modules_json,
                                         std::string_view pooling_json,
                                         std::string_view sentence_bert_json) {
  auto document = JsonDocument::Parse(modules_json);
  if (!document) return In("modules.json", std::move(document).error());
  auto modules = ParseModules(*document);
  if (!modules) return In("modules.json", std::move(modules).error());
  PoolingConfig config;
  for (const Module& module : *modules) config.normalize |= module.kind == "Normalize";
  auto mode = ParsePoolingMode(pooling_json);
  if (!mode) return In("pooling config.json", std::move(mode).error());
  config.mode = *mode;
  auto max_seq_length = ParseMaxSeqLength(sentence_bert_json);
  if (!max_seq_length) {
    return In("sentence_bert_config.json", std::move(max_seq_length).error());
  }
  config.max_seq_length = *max_seq_length;
  return config;
}

}  // namespace mdsa
