// The GGUF container, versions 2 and 3, little-endian: bytes in, a description out.
//
// Layout: "GGUF", u32 version, u64 tensors, u64 metadata entries, the entries, the tensor
// descriptions, padding to the alignment, data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "formats/dtype.h"
#include "mdsa/result.h"

namespace mdsa {

enum class GgufType : std::uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// An array as it lies in the file, already walked once: a vocabulary of 100,000 strings costs two
// words here. A view.
struct GgufArray {
  GgufType element_type = GgufType::kU8;
  std::uint64_t count = 0;
  std::span<const std::byte> bytes;
};

// Integers and floats of every width; the rest as it is.
using GgufValue =
    std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, GgufArray>;

struct GgufTensor {
  std::string_view name;  // as in the file
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;  // slowest first: the reverse of the file's order
  std::span<const std::byte> bytes;
};

// Typed reading of the metadata. Every getter returns nullopt for an absent key and kInvalidFormat,
// naming the key, for a value of another type. Keys and values are views into the file's bytes,
// which must outlive this. Thread-safe: immutable once parsed.
class GgufFile {
 public:
  std::uint32_t version() const { return version_; }
  std::span<const GgufTensor> tensors() const { return tensors_; }  // as in the file
  const GgufTensor* FindTensor(std::string_view name) const;

  // An array without its elements; nullopt if the key is absent or holds something else.
  std::optional<GgufArray> Array(std::string_view key) const;
  bool Has(std::string_view key) const { return metadata_.contains(key); }
  Result<std::optional<std::string_view>> String(std::string_view key) const;
  Result<std::optional<bool>> Bool(std::string_view key) const;
  Result<std::optional<double>> Number(std::string_view key) const;  // floats and integers
  // Of any integer width, within [min, max].
  Result<std::optional<std::int64_t>> Integer(std::string_view key, std::int64_t min,
                                              std::int64_t max) const;
  Result<std::optional<std::vector<std::string_view>>> Strings(std::string_view key) const;
  Result<std::optional<std::vector<float>>> Floats(std::string_view key) const;  // array of f32
  Result<std::optional<std::vector<std::int32_t>>> Integers(
      std::string_view key) const;  // i32/u32 below 2^31

 private:
  friend class GgufParser;

  const GgufValue* Find(std::string_view key) const;

  std::uint32_t version_ = 0;
  std::unordered_map<std::string_view, GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, std::size_t> tensor_index_;
};

// kInvalidFormat names the key or tensor and the byte offset in the file; kUnsupported names a
// version, byte order or block type that mdsa cannot read. Nothing is allocated in proportion to a
// count that the file only claims: every element has to be there.
Result<GgufFile> ParseGguf(std::span<const std::byte> file);

}  // namespace mdsa
