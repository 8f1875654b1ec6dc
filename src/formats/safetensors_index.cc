#include "formats/safetensors_index.h"

#include <set>

#include "base/error.h"
#include "formats/json.h"
#include "formats/printable.h"

namespace mdsa {
namespace {

Status CheckShardName(std::string_view name) {
  if (name.empty()) return Err(ErrorCode::kInvalidFormat, "the file name is empty");
  constexpr std::size_t kMaxName = 255;  // of the file systems
  if (name.size() > kMaxName || name.find_first_of("/\\") != std::string_view::npos ||
      HasControlCharacters(name) || name.starts_with("..")) {
    return Err(ErrorCode::kInvalidFormat, "{} is not a plain file name in the same folder",
               Printable(name));
  }
  if (!name.ends_with(".safetensors")) {
    return Err(ErrorCode::kInvalidFormat, "{} is not a .safetensors file", Printable(name));
  }
  return {};
}

}  // namespace

Result<SafetensorsIndex> ParseSafetensorsIndex(std::string_view json) {
  MDSA_ASSIGN(const JsonDocument document, JsonDocument::Parse(json));
  MDSA_ASSIGN(const JsonObject root, document.RootObject());
  MDSA_ASSIGN(const std::optional<JsonObject> weight_map, root.Object("weight_map"));
  if (!weight_map) return Err(ErrorCode::kInvalidFormat, "key 'weight_map' is missing");
  if (auto twin = weight_map->DuplicateKey()) {
    return Err(ErrorCode::kInvalidFormat, "tensor {} occurs twice in 'weight_map'",
               Printable(*twin));
  }
  SafetensorsIndex index;
  std::set<std::string> shards;
  for (const simdjson::dom::key_value_pair field : weight_map->raw()) {
    std::string_view shard;
    if (field.value.get(shard) != simdjson::SUCCESS) {
      return Err(ErrorCode::kInvalidFormat, "weight_map entry {}: expected a string, found {}",
                 Printable(field.key), JsonTypeName(field.value));
    }
    if (auto status = CheckShardName(shard); !status) {
      return std::unexpected(
          std::move(status).error().AddContext("weight_map entry " + Printable(field.key)));
    }
    index.weight_map.emplace_back(field.key, shard);
    shards.emplace(shard);
  }
  if (shards.empty()) return Err(ErrorCode::kInvalidFormat, "'weight_map' is empty");
  index.shards.assign(shards.begin(), shards.end());
  return index;
}

}  // namespace mdsa
