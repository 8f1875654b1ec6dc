#include "models/config_conflict.h"

#include <fmt/format.h>

#include <string>

#include "base/error.h"
#include "mdsa/hardware.h"
#include "models/cache_dir.h"

namespace mdsa {
namespace {

// "auto" and what it stands for are the same device. A name that does not resolve stands for
// itself; its load fails anyway.
std::string Device(const ModelConfig& config) {
  return ResolveDevice(config.device, HardwareInfo{}).value_or(config.device);
}

// The same id may name another snapshot in another cache.
std::string CacheDir(const ModelConfig& config) {
  return config.cache_dir ? ExpandHome(*config.cache_dir).lexically_normal().string() : "";
}

Status CheckField(std::string_view model_id, std::string_view field, std::string_view present,
                  std::string_view wanted) {
  if (present == wanted) return {};
  return Err(ErrorCode::kFailedPrecondition,
             "model '{}' was loaded with {} '{}', not '{}'; unload it first or use another id",
             model_id, field, present, wanted);
}

}  // namespace

Status CheckSameModel(std::string_view model_id, const ModelConfig& present,
                      const ModelConfig& wanted) {
  MDSA_TRY(CheckField(model_id, "model_name", present.model_name, wanted.model_name));
  MDSA_TRY(CheckField(model_id, "device", Device(present), Device(wanted)));
  MDSA_TRY(CheckField(model_id, "quantization", QuantizationTypeName(present.quantization),
                      QuantizationTypeName(wanted.quantization)));
  MDSA_TRY(CheckField(model_id, "torch_dtype", present.torch_dtype.value_or("auto"),
                      wanted.torch_dtype.value_or("auto")));
  // What is loaded can do less, too.
  if (wanted.max_length > present.max_length) {
    MDSA_TRY(CheckField(model_id, "max_length", fmt::to_string(present.max_length),
                        fmt::to_string(wanted.max_length)));
  }
  return CheckField(model_id, "cache_dir", CacheDir(present), CacheDir(wanted));
}

}  // namespace mdsa
