// Any text is a list of plain file names or an error; no name can leave its folder.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "formats/pooling_config.h"
#include "formats/safetensors_index.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto index = mdsa::ParseSafetensorsIndex(text)) {
    MDSA_CHECK(!index->shards.empty() && index->shards.size() <= index->weight_map.size());
    for (const std::string& shard : index->shards) {
      MDSA_CHECK(!shard.empty() && shard.find('/') == std::string::npos && shard != "..");
    }
  }
  if (const auto folder = mdsa::PoolingModulePath(text)) {
    MDSA_CHECK(!folder->empty() && folder->front() != '/');
  }
  return 0;
}
