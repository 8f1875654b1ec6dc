// Any text is a list of plain file names or an error; no name can leave its folder.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/check.h"
#include "formats/pooling_config.h"
#include "formats/safetensors_index.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto index = mdsa::ParseSafetensorsIndex(text)) {
    MDSA_CHECK(!index->shards.empty() && index->shards.size() <= index->weight_map.size());
    for (const std::string& shard : index->shards) {
      const std::filesystem::path path(shard);
      MDSA_CHECK(path.is_relative() && path == path.filename() && path != ".." && path != ".");
    }
  }
  if (const auto folder = mdsa::PoolingModulePath(text)) {
    const std::filesystem::path path(*folder);
    MDSA_CHECK(!path.empty() && path.is_relative());
    for (const auto& part : path) MDSA_CHECK(part != "..");
  }
  return 0;
}
