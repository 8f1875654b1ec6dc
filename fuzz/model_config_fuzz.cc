// Any text is a valid ModelConfig, which its own JSON gives again, or an error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "mdsa/model_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = mdsa::ModelConfig::FromJson(text);
  if (!config) {
    MDSA_CHECK(!config.error().ToString().empty());
    return 0;
  }
  MDSA_CHECK(config->Validate().has_value());
  const auto again = mdsa::ModelConfig::FromJson(config->ToJson());
  MDSA_CHECK(again && *again == *config);
  return 0;
}
