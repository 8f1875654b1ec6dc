// GgufFile: typed reading of parsed metadata. The parser is in gguf.cc.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "formats/byte_reader.h"
#include "formats/gguf.h"
#include "formats/printable.h"

namespace mdsa {
namespace {

std::unexpected<Error> WrongType(std::string_view key, std::string_view expected) {
  return Err(ErrorCode::kInvalidFormat, "key {}: expected {}", Printable(key), expected);
}

}  // namespace

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufValue* GgufFile::Find(std::string_view key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

std::optional<GgufArray> GgufFile::Array(std::string_view key) const {
  const GgufValue* value = Find(key);
  const auto* array = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  return array == nullptr ? std::nullopt : std::optional(*array);
}

Result<std::optional<std::string_view>> GgufFile::String(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* text = std::get_if<std::string_view>(value)) return *text;
  return WrongType(key, "a string");
}

Result<std::optional<bool>> GgufFile::Bool(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* flag = std::get_if<bool>(value)) return *flag;
  return WrongType(key, "a boolean");
}

Result<std::optional<double>> GgufFile::Number(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* number = std::get_if<double>(value)) return *number;
  if (const auto* number = std::get_if<std::uint64_t>(value)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<std::int64_t>(value)) return static_cast<double>(*number);
  return WrongType(key, "a number");
}

Result<std::optional<std::int64_t>> GgufFile::Integer(std::string_view key, std::int64_t min,
                                                      std::int64_t max) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const auto outside = [&](auto number) {
    return Err(ErrorCode::kInvalidFormat, "key {}: {} is outside {}..{}", Printable(key), number,
               min, max);
  };
  std::int64_t number;
  if (const auto* big = std::get_if<std::uint64_t>(value)) {
    if (!std::in_range<std::int64_t>(*big)) return outside(*big);
    number = static_cast<std::int64_t>(*big);
  } else if (const auto* small = std::get_if<std::int64_t>(value)) {
    number = *small;
  } else {
    return WrongType(key, std::holds_alternative<GgufArray>(*value)
                              ? "one integer, found an array (a value for each layer is not "
                                "supported)"
                              : "an integer");
  }
  if (number < min || number > max) return outside(number);
  return number;
}

Result<std::optional<std::vector<std::string_view>>> GgufFile::Strings(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const auto* array = std::get_if<GgufArray>(value);
  if (array == nullptr || (array->count != 0 && array->element_type != GgufType::kString)) {
    return WrongType(key, "an array of strings");
  }
  std::vector<std::string_view> strings;
  strings.reserve(static_cast<std::size_t>(array->count));
  ByteReader reader(array->bytes);
  for (std::uint64_t i = 0; i < array->count; ++i) {
    const auto text = *reader.ReadBytes(*reader.Read<std::uint64_t>());
    strings.emplace_back(reinterpret_cast<const char*>(text.data()), text.size());
  }
  return strings;
}

Result<std::optional<std::vector<float>>> GgufFile::Floats(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const auto* array = std::get_if<GgufArray>(value);
  if (array == nullptr || (array->count != 0 && array->element_type != GgufType::kF32)) {
    return WrongType(key, "an array of 32-bit floats");
  }
  std::vector<float> numbers(static_cast<std::size_t>(array->count));
  if (!numbers.empty()) std::memcpy(numbers.data(), array->bytes.data(), array->bytes.size());
  return numbers;
}

Result<std::optional<std::vector<std::int32_t>>> GgufFile::Integers(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const auto* array = std::get_if<GgufArray>(value);
  if (array == nullptr || (array->count != 0 && array->element_type != GgufType::kI32 &&
                           array->element_type != GgufType::kU32)) {
    return WrongType(key, "an array of 32-bit integers");
  }
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(array->count));
  if (!numbers.empty()) std::memcpy(numbers.data(), array->bytes.data(), array->bytes.size());
  if (array->element_type == GgufType::kU32 && !numbers.empty() && std::ranges::min(numbers) < 0) {
    return WrongType(key, "integers up to 2147483647");
  }
  return numbers;
}

}  // namespace mdsa
