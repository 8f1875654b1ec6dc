#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

#include "base/checked_math.h"
#include "base/error.h"
#include "formats/json.h"
#include "formats/printable.h"

namespace mdsa {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::int64_t kMaxInt = std::numeric_limits<std::int64_t>::max();

static_assert(std::endian::native == std::endian::little, "checkpoints are little-endian");

constexpr std::array kSupported = {DType::kF64,    DType::kF32,    DType::kF16, DType::kBF16,
                                   DType::kF8E4M3, DType::kF8E5M2, DType::kI64, DType::kI32,
                                   DType::kI16,    DType::kI8,     DType::kU64, DType::kU32,
                                   DType::kU16,    DType::kU8,     DType::kBool};

constexpr std::array<std::string_view, 8> kKnownButUnsupported = {
    "F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64", "C128"};

struct Entry {
  TensorInfo info;
  std::int64_t begin = 0;  // relative to the data
  std::int64_t end = 0;
};

Result<DType> ParseDType(std::string_view name) {
  for (DType dtype : kSupported) {
    if (DTypeName(dtype) == name) return dtype;
  }
  if (std::ranges::find(kKnownButUnsupported, name) != kKnownButUnsupported.end()) {
    return Err(ErrorCode::kUnsupported, "element type {} is not supported", name);
  }
  return Err(ErrorCode::kInvalidFormat, "unknown element type {}", Printable(name));
}

Result<std::vector<std::int64_t>> ParseShape(simdjson::dom::array array) {
  std::vector<std::int64_t> shape;
  for (simdjson::dom::element dim : array) {
    std::int64_t value;
    if (dim.type() != simdjson::dom::element_type::INT64 || dim.get(value) != simdjson::SUCCESS ||
        value < 0) {
      return Err(ErrorCode::kInvalidFormat,
                 "dimension {} of 'shape' is not an integer from 0 to 2^63-1", shape.size());
    }
    shape.push_back(value);
  }
  return shape;
}

Result<std::pair<std::int64_t, std::int64_t>> ParseOffsets(simdjson::dom::array array) {
  std::array<std::int64_t, 2> offsets{};
  std::size_t count = 0;
  for (simdjson::dom::element offset : array) {
    std::int64_t value;
    if (count == 2 || offset.type() != simdjson::dom::element_type::INT64 ||
        offset.get(value) != simdjson::SUCCESS || value < 0) {
      count = 0;
      break;
    }
    offsets[count++] = value;
  }
  if (count != 2 || offsets[0] > offsets[1]) {
    return Err(ErrorCode::kInvalidFormat,
               "'data_offsets' is not a pair of integers 0 <= begin <= end");
  }
  return std::pair(offsets[0], offsets[1]);
}

std::unexpected<Error> Missing(std::string_view field) {
  return Err(ErrorCode::kInvalidFormat, "field '{}' is missing", field);
}

Result<Entry> ParseEntry(const JsonObject& object) {
  if (auto twin = object.DuplicateKey()) {
    return Err(ErrorCode::kInvalidFormat, "field {} occurs twice", Printable(*twin));
  }
  MDSA_ASSIGN(const auto dtype_name, object.String("dtype"));
  MDSA_ASSIGN(const auto shape, object.Array("shape"));
  MDSA_ASSIGN(const auto offsets, object.Array("data_offsets"));
  if (!dtype_name) return Missing("dtype");
  if (!shape) return Missing("shape");
  if (!offsets) return Missing("data_offsets");

  Entry entry;
  MDSA_ASSIGN(entry.info.dtype, ParseDType(*dtype_name));
  MDSA_ASSIGN(entry.info.shape, ParseShape(*shape));
  MDSA_ASSIGN(const auto range, ParseOffsets(*offsets));
  entry.begin = range.first;
  entry.end = range.second;
  const std::optional<std::int64_t> elements = CheckedProduct(entry.info.shape);
  const std::optional<std::int64_t> bytes =
      elements ? ByteSize(entry.info.dtype, *elements) : std::nullopt;
  if (!bytes) {
    return Err(ErrorCode::kInvalidFormat, "the size of 'shape' overflows 64 bits");
  }
  if (*bytes != entry.end - entry.begin) {
    return Err(ErrorCode::kInvalidFormat,
               "'shape' and 'dtype' {} need {} bytes, 'data_offsets' [{}, {}] span {}", *dtype_name,
               *bytes, entry.begin, entry.end, entry.end - entry.begin);
  }
  return entry;
}

Result<std::vector<std::pair<std::string, std::string>>> ParseMetadata(
    simdjson::dom::element value) {
  std::vector<std::pair<std::string, std::string>> metadata;
  if (value.is_null()) return metadata;
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) {
    return Err(ErrorCode::kInvalidFormat, "expected an object of strings, found {}",
               JsonTypeName(value));
  }
  if (auto twin = JsonObject(object, "").DuplicateKey()) {
    return Err(ErrorCode::kInvalidFormat, "key {} occurs twice", Printable(*twin));
  }
  for (const simdjson::dom::key_value_pair field : object) {
    std::string_view text;
    if (field.value.get(text) != simdjson::SUCCESS) {
      return Err(ErrorCode::kInvalidFormat, "key {}: expected a string, found {}",
                 Printable(field.key), JsonTypeName(field.value));
    }
    metadata.emplace_back(field.key, text);
  }
  return metadata;
}

// The N bytes of JSON, once N is known to be sane.
Result<std::string_view> HeaderText(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes) {
    return Err(ErrorCode::kInvalidFormat,
               "the file has {} bytes, less than the 8 of the header length at offset 0",
               file.size());
  }
  std::uint64_t length;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length == 0) return Err(ErrorCode::kInvalidFormat, "the header length at offset 0 is 0");
  if (length > kMaxSafetensorsHeaderBytes) {
    return Err(ErrorCode::kInvalidFormat,
               "the header length at offset 0 is {}; at most {} bytes are accepted", length,
               kMaxSafetensorsHeaderBytes);
  }
  if (length > file.size() - kLengthBytes) {
    return Err(ErrorCode::kInvalidFormat,
               "the header of {} bytes at offset 8 ends beyond the file of {} bytes (truncated?)",
               length, file.size());
  }
  return std::string_view(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                          static_cast<std::size_t>(length));
}

// Sorted entries must tile [0, data_bytes) without hole or overlap.
Status CheckTiling(std::span<const Entry> entries, std::int64_t data_start,
                   std::int64_t data_bytes) {
  std::int64_t expected = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != expected) {
      return Err(
          ErrorCode::kInvalidFormat,
          "tensor {}: data begins at file offset {}, {} the end of its predecessor at {}",
          Printable(entry.info.name), data_start + std::min(entry.begin, kMaxInt - data_start),
          entry.begin > expected ? "leaving a hole after" : "overlapping", data_start + expected);
    }
    if (entry.end > data_bytes) {
      return Err(ErrorCode::kInvalidFormat,
                 "tensor {}: 'data_offsets' [{}, {}] end beyond the {} bytes of data that follow "
                 "the header at file offset {} (truncated?)",
                 Printable(entry.info.name), entry.begin, entry.end, data_bytes, data_start);
    }
    expected = entry.end;
  }
  if (expected != data_bytes) {
    return Err(ErrorCode::kInvalidFormat, "{} bytes at file offset {} belong to no tensor",
               data_bytes - expected, data_start + expected);
  }
  return {};
}

// Fills `metadata` and returns the tensors as written, their bytes still empty.
Result<std::vector<Entry>> ParseEntries(
    const JsonObject& root, std::vector<std::pair<std::string, std::string>>& metadata) {
  if (auto twin = root.DuplicateKey()) {
    return Err(ErrorCode::kInvalidFormat, "key {} occurs twice", Printable(*twin));
  }
  std::vector<Entry> entries;
  for (const simdjson::dom::key_value_pair field : root.raw()) {
    if (field.key == "__metadata__") {
      auto parsed = ParseMetadata(field.value);
      if (!parsed) return std::unexpected(std::move(parsed).error().AddContext("__metadata__"));
      metadata = *std::move(parsed);
      continue;
    }
    simdjson::dom::object object;
    if (field.value.get(object) != simdjson::SUCCESS) {
      return Err(ErrorCode::kInvalidFormat, "tensor {}: expected an object, found {}",
                 Printable(field.key), JsonTypeName(field.value));
    }
    Result<Entry> entry = ParseEntry(JsonObject(object, ""));
    if (!entry) {
      return std::unexpected(std::move(entry).error().AddContext("tensor " + Printable(field.key)));
    }
    entry->info.name = field.key;
    entries.push_back(*std::move(entry));
  }
  // An empty tensor shares its offset with its successor and comes first.
  std::ranges::stable_sort(entries, [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  return entries;
}

// The tensors of the header `text`, tiling the `data` that follow it at file offset `data_start`.
Result<SafetensorsHeader> Describe(std::string_view text, std::span<const std::byte> data,
                                   std::int64_t data_start) {
  MDSA_ASSIGN(const JsonDocument document, JsonDocument::Parse(text));
  MDSA_ASSIGN(const JsonObject root, document.RootObject());
  SafetensorsHeader header;
  MDSA_ASSIGN(std::vector<Entry> entries, ParseEntries(root, header.metadata));
  MDSA_TRY(CheckTiling(entries, data_start, static_cast<std::int64_t>(data.size())));
  header.tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    entry.info.bytes = data.subspan(static_cast<std::size_t>(entry.begin),
                                    static_cast<std::size_t>(entry.end - entry.begin));
    header.tensors.push_back(std::move(entry.info));
  }
  return header;
}

}  // namespace

Result<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file) {
  MDSA_ASSIGN(const std::string_view text, HeaderText(file));
  const std::size_t data_start = kLengthBytes + text.size();
  auto header = Describe(text, file.subspan(data_start), static_cast<std::int64_t>(data_start));
  if (!header) return std::unexpected(std::move(header).error().AddContext("header at offset 8"));
  return header;
}

}  // namespace mdsa
