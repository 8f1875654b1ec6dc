// Any text is a valid model description or an error. A NUL separates config.json from
// generation_config.json.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "formats/architecture_config.h"
#include "formats/pooling_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t nul = text.find('\0');
  const std::string_view config_json = text.substr(0, nul);
  const std::string_view second =
      nul == std::string_view::npos ? std::string_view() : text.substr(nul + 1);
  const auto config = mdsa::ParseHfConfig(config_json, second);
  if (config) {
    MDSA_CHECK(mdsa::ValidateArchitectureConfig(*config).has_value());
    MDSA_CHECK(config->num_labels == static_cast<std::int64_t>(config->labels.size()));
  } else {
    MDSA_CHECK(!config.error().ToString().empty());
  }
  static_cast<void>(mdsa::ParsePoolingConfig(config_json, second, second));
  return 0;
}
