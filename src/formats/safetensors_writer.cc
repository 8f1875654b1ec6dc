#include "formats/safetensors_writer.h"

#include <fmt/ranges.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/checked_math.h"
#include "base/error.h"
#include "formats/safetensors.h"

namespace mdsa {
namespace {

constexpr std::size_t kHeaderAlignment = 8;

// Widest first, as the reference writer sorts them; other types are no part of the format.
constexpr std::array kTypeOrder = {DType::kU64, DType::kI64, DType::kF64,    DType::kF32,
                                   DType::kU32, DType::kI32, DType::kBF16,   DType::kF16,
                                   DType::kU16, DType::kI16, DType::kF8E4M3, DType::kF8E5M2,
                                   DType::kI8,  DType::kU8,  DType::kBool};

std::size_t TypeRank(DType dtype) {
  return static_cast<std::size_t>(std::ranges::find(kTypeOrder, dtype) - kTypeOrder.begin());
}

// As JSON without spaces; ill-formed UTF-8 becomes U+FFFD.
std::string JsonText(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Status CheckEntry(const SafetensorsEntry& entry) {
  if (entry.name.empty() || entry.name == "__metadata__" || !simdjson::validate_utf8(entry.name)) {
    return Err(ErrorCode::kInvalidArgument, "'{}' cannot name a tensor", entry.name);
  }
  if (TypeRank(entry.dtype) == kTypeOrder.size()) {
    return Err(ErrorCode::kUnsupported, "tensor '{}': safetensors has no type {}", entry.name,
               DTypeName(entry.dtype));
  }
  return {};
}

Result<std::uint64_t> BytesOf(const SafetensorsEntry& entry) {
  const auto elements = CheckedProduct(entry.shape);
  const auto bytes = elements ? ByteSize(entry.dtype, *elements) : std::nullopt;
  if (!bytes) {
    return Err(ErrorCode::kInvalidArgument, "tensor '{}': its shape is impossible", entry.name);
  }
  return static_cast<std::uint64_t>(*bytes);
}

}  // namespace

Result<SafetensorsLayout> SafetensorsLayout::Create(
    std::vector<SafetensorsEntry> entries, const std::map<std::string, std::string>& metadata) {
  SafetensorsLayout layout;
  for (SafetensorsEntry& entry : entries) {
    MDSA_TRY(CheckEntry(entry));
    MDSA_ASSIGN(const std::uint64_t bytes, BytesOf(entry));
    layout.tensors_.push_back({std::move(entry), 0, bytes});
  }
  std::ranges::sort(layout.tensors_, {}, [](const Placed& placed) {
    return std::tuple(TypeRank(placed.entry.dtype), std::string_view(placed.entry.name));
  });
  MDSA_TRY(layout.Place());
  MDSA_TRY(layout.WriteHead(metadata));
  return layout;
}

// Offsets from the end of the head, which is not known yet.
Status SafetensorsLayout::Place() {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    Placed& placed = tensors_[i];
    if (!index_.emplace(placed.entry.name, i).second) {
      return Err(ErrorCode::kInvalidArgument, "tensor '{}' is there twice", placed.entry.name);
    }
    placed.offset = file_bytes_;
    const auto end = CheckedAdd(file_bytes_, placed.bytes);
    if (!end) {
      return Err(ErrorCode::kInvalidArgument, "tensor '{}': the file would be too large",
                 placed.entry.name);
    }
    file_bytes_ = *end;
  }
  return {};
}

Status SafetensorsLayout::WriteHead(const std::map<std::string, std::string>& metadata) {
  std::string json = "{";
  if (!metadata.empty()) json += "\"__metadata__\":" + JsonText(metadata);
  for (const Placed& placed : tensors_) {
    if (json.size() > 1) json += ',';
    fmt::format_to(std::back_inserter(json),
                   R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                   JsonText(placed.entry.name), DTypeName(placed.entry.dtype),
                   fmt::join(placed.entry.shape, ","), placed.offset, placed.offset + placed.bytes);
  }
  json += '}';
  json.resize(static_cast<std::size_t>(RoundUp(static_cast<std::int64_t>(json.size()),
                                               static_cast<std::int64_t>(kHeaderAlignment))),
              ' ');
  if (json.size() > kMaxSafetensorsHeaderBytes) {
    return Err(ErrorCode::kUnsupported, "a safetensors header has at most {} bytes, not {}",
               kMaxSafetensorsHeaderBytes, json.size());
  }
  for (std::size_t i = 0; i < sizeof(std::uint64_t); ++i) {
    head_.push_back(static_cast<char>((std::uint64_t{json.size()} >> (8 * i)) & 0xff));
  }
  head_ += json;
  for (Placed& placed : tensors_) placed.offset += head_.size();
  file_bytes_ += head_.size();
  return {};
}

const SafetensorsLayout::Placed* SafetensorsLayout::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace mdsa
