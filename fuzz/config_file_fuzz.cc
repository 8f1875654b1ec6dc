// Any text is a configuration whose parts are valid, or an error that says where.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "base/check.h"
#include "mdsa/config_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto file = mdsa::ConfigFile::Parse(text);
  if (!file) {
    MDSA_CHECK(file.error().code() == mdsa::ErrorCode::kInvalidArgument);
    MDSA_CHECK(file.error().ToString().starts_with("mdsa.toml:"));
    return 0;
  }
  MDSA_CHECK(file->residency.Validate().has_value());
  if (const auto& limit = file->residency.max_memory) {
    const auto again = mdsa::MemoryLimit::Parse(limit->ToString());
    MDSA_CHECK(again && *again == *limit);
  }
  std::set<std::string_view> ids;
  for (const mdsa::DeclaredModel& model : file->models) {
    MDSA_CHECK(ids.insert(model.id).second);
    MDSA_CHECK(model.config.Validate().has_value());
  }
  return 0;
}
