#include "formats/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "base/checked_math.h"
#include "base/error.h"
#include "formats/byte_reader.h"
#include "formats/printable.h"

namespace mdsa {
namespace {

constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxKeyBytes = 65535;
constexpr std::uint32_t kMaxDimensions = 4;
constexpr int kMaxArrayDepth = 8;

struct TypeId {
  std::uint32_t id;
  DType dtype;
};
constexpr std::array kTensorTypes = {
    TypeId{0, DType::kF32},   TypeId{1, DType::kF16},  TypeId{2, DType::kQ4_0},
    TypeId{3, DType::kQ4_1},  TypeId{6, DType::kQ5_0}, TypeId{7, DType::kQ5_1},
    TypeId{8, DType::kQ8_0},  TypeId{12, DType::kQ4K}, TypeId{13, DType::kQ5K},
    TypeId{14, DType::kQ6K},  TypeId{24, DType::kI8},  TypeId{25, DType::kI16},
    TypeId{26, DType::kI32},  TypeId{27, DType::kI64}, TypeId{28, DType::kF64},
    TypeId{30, DType::kBF16},
};

struct NamedType {
  std::uint32_t id;
  std::string_view name;
};
constexpr std::array kUnsupportedTypes = {
    NamedType{4, "Q4_2"},        NamedType{5, "Q4_3"},        NamedType{9, "Q8_1"},
    NamedType{10, "Q2_K"},       NamedType{11, "Q3_K"},       NamedType{15, "Q8_K"},
    NamedType{16, "IQ2_XXS"},    NamedType{17, "IQ2_XS"},     NamedType{18, "IQ3_XXS"},
    NamedType{19, "IQ1_S"},      NamedType{20, "IQ4_NL"},     NamedType{21, "IQ3_S"},
    NamedType{22, "IQ2_S"},      NamedType{23, "IQ4_XS"},     NamedType{29, "IQ1_M"},
    NamedType{34, "TQ1_0"},      NamedType{35, "TQ2_0"},      NamedType{31, "Q4_0_4_4"},
    NamedType{32, "Q4_0_4_8"},   NamedType{33, "Q4_0_8_8"},   NamedType{36, "IQ4_NL_4_4"},
    NamedType{37, "IQ4_NL_4_8"}, NamedType{38, "IQ4_NL_8_8"}, NamedType{39, "MXFP4"},
    NamedType{40, "NVFP4"},      NamedType{41, "Q1_0"},
};

// Bytes of a value of fixed size; 0 for strings and arrays, nullopt for an unknown type.
std::optional<std::uint64_t> FixedSize(std::uint32_t type) {
  switch (static_cast<GgufType>(type)) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return std::nullopt;
}

Result<DType> ParseTensorType(std::uint32_t id) {
  for (const TypeId& known : kTensorTypes) {
    if (known.id == id) return known.dtype;
  }
  for (const NamedType& known : kUnsupportedTypes) {
    if (known.id == id) {
      return Err(ErrorCode::kUnsupported,
                 "block type {} is not supported; supported are Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, "
                 "Q4_K, Q5_K, Q6_K, F16, BF16 and F32",
                 known.name);
    }
  }
  // Newer than this list, more likely than damage: every other field of the file was sound.
  return Err(ErrorCode::kUnsupported, "element type {} is not known", id);
}

}  // namespace

// One pass over the file. Not thread-safe; used by one ParseGguf.
class GgufParser {
 public:
  explicit GgufParser(std::span<const std::byte> file) : file_(file), reader_(file) {}

  Result<GgufFile> Parse() {
    MDSA_TRY(ParseCounts());
    for (std::uint64_t i = 0; i < metadata_count_; ++i) MDSA_TRY(ParseEntry(i));
    MDSA_TRY(ParseAlignment());
    for (std::uint64_t i = 0; i < tensor_count_; ++i) MDSA_TRY(ParseTensor(i));
    MDSA_TRY(PlaceData());
    return std::move(out_);
  }

 private:
  // A tensor whose data is not located yet.
  struct Placement {
    std::size_t tensor;
    std::uint64_t begin, size;  // relative to the data
  };

  std::unexpected<Error> Truncated(std::string_view what) const {
    return Err(ErrorCode::kInvalidFormat, "{} at offset {} ends beyond the file of {} bytes", what,
               reader_.offset(), file_.size());
  }

  template <typename T>
  Result<T> Read(std::string_view what) {
    if (const auto value = reader_.Read<T>()) return *value;
    return Truncated(what);
  }

  Result<std::string_view> ReadString(std::string_view what) {
    MDSA_ASSIGN(const std::uint64_t length, Read<std::uint64_t>(what));
    const auto bytes = reader_.ReadBytes(length);
    if (!bytes) return Truncated(fmt::format("{} of {} bytes", what, length));
    return std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  }

  Status ParseCounts();
  Status ParseEntry(std::uint64_t index);
  Result<GgufValue> ParseValue(std::uint32_t type);
  Result<GgufArray> ParseArray(int depth);
  Status ParseAlignment();
  Status ParseTensor(std::uint64_t index);
  Result<GgufTensor> ParseTensorBody(std::string_view name, Placement& placement);
  Status PlaceData();

  std::span<const std::byte> file_;
  ByteReader reader_;
  std::uint64_t metadata_count_ = 0, tensor_count_ = 0;
  std::uint64_t alignment_ = kDefaultAlignment;
  std::vector<Placement> placements_;
  GgufFile out_;
};

Status GgufParser::ParseCounts() {
  const auto magic = reader_.ReadBytes(4);
  if (!magic || std::memcmp(magic->data(), "GGUF", 4) != 0) {
    return Err(ErrorCode::kInvalidFormat, "not a GGUF file: the first 4 bytes are not \"GGUF\"");
  }
  MDSA_ASSIGN(out_.version_, Read<std::uint32_t>("version"));
  if (out_.version_ == 0x02000000u || out_.version_ == 0x03000000u) {
    return Err(ErrorCode::kUnsupported, "big-endian GGUF files are not supported");
  }
  if (out_.version_ != 2 && out_.version_ != 3) {
    return Err(ErrorCode::kUnsupported, "GGUF version {} is not supported; supported are 2 and 3",
               out_.version_);
  }
  MDSA_ASSIGN(tensor_count_, Read<std::uint64_t>("tensor count"));
  MDSA_ASSIGN(metadata_count_, Read<std::uint64_t>("metadata count"));
  // The least that one entry (empty key, u8) and one tensor description take.
  constexpr std::uint64_t kMinEntry = 8 + 4 + 1, kMinTensor = 8 + 4 + 4 + 8;
  const std::uint64_t rest = reader_.remaining();
  if (metadata_count_ > rest / kMinEntry || tensor_count_ > rest / kMinTensor) {
    return Err(ErrorCode::kInvalidFormat,
               "the header claims {} tensors and {} metadata entries, more than the {} bytes after "
               "offset {} can hold",
               tensor_count_, metadata_count_, rest, reader_.offset());
  }
  return {};
}

Status GgufParser::ParseEntry(std::uint64_t index) {
  const std::size_t start = reader_.offset();
  MDSA_ASSIGN(const std::string_view key,
              ReadString(fmt::format("key of metadata entry {}", index)));
  if (key.size() > kMaxKeyBytes) {
    return Err(ErrorCode::kInvalidFormat, "the key at offset {} has {} bytes; at most {} are legal",
               start, key.size(), kMaxKeyBytes);
  }
  const auto with_key = [&](Error error) {
    return std::unexpected(std::move(error).AddContext("key " + Printable(key)));
  };
  const auto type = Read<std::uint32_t>("value type");
  if (!type) return with_key(type.error());
  auto value = ParseValue(*type);
  if (!value) return with_key(std::move(value).error());
  if (!out_.metadata_.emplace(key, *std::move(value)).second) {
    return Err(ErrorCode::kInvalidFormat, "key {} occurs again at offset {}", Printable(key),
               start);
  }
  return {};
}

Result<GgufValue> GgufParser::ParseValue(std::uint32_t type) {
  const auto widen = []<typename To, typename From>(Result<From> number) -> Result<GgufValue> {
    if (!number) return std::unexpected(std::move(number).error());
    return GgufValue(static_cast<To>(*number));
  };
  switch (static_cast<GgufType>(type)) {
    case GgufType::kU8:
      return widen.operator()<std::uint64_t>(Read<std::uint8_t>("value"));
    case GgufType::kU16:
      return widen.operator()<std::uint64_t>(Read<std::uint16_t>("value"));
    case GgufType::kU32:
      return widen.operator()<std::uint64_t>(Read<std::uint32_t>("value"));
    case GgufType::kU64:
      return widen.operator()<std::uint64_t>(Read<std::uint64_t>("value"));
    case GgufType::kI8:
      return widen.operator()<std::int64_t>(Read<std::int8_t>("value"));
    case GgufType::kI16:
      return widen.operator()<std::int64_t>(Read<std::int16_t>("value"));
    case GgufType::kI32:
      return widen.operator()<std::int64_t>(Read<std::int32_t>("value"));
    case GgufType::kI64:
      return widen.operator()<std::int64_t>(Read<std::int64_t>("value"));
    case GgufType::kF32:
      return widen.operator()<double>(Read<float>("value"));
    case GgufType::kF64:
      return widen.operator()<double>(Read<double>("value"));
    case GgufType::kBool: {
      MDSA_ASSIGN(const std::uint8_t flag, Read<std::uint8_t>("value"));
      if (flag > 1) {
        return Err(ErrorCode::kInvalidFormat, "boolean at offset {} is {}", reader_.offset() - 1,
                   flag);
      }
      return flag == 1;
    }
    case GgufType::kString:
      return ReadString("string");
    case GgufType::kArray:
      return ParseArray(1);
  }
  return Err(ErrorCode::kInvalidFormat, "unknown value type {} at offset {}", type,
             reader_.offset() - sizeof(type));
}

Result<GgufArray> GgufParser::ParseArray(int depth) {
  const std::size_t start = reader_.offset();
  if (depth > kMaxArrayDepth) {
    return Err(ErrorCode::kInvalidFormat, "arrays at offset {} are nested deeper than {}", start,
               kMaxArrayDepth);
  }
  MDSA_ASSIGN(const std::uint32_t type, Read<std::uint32_t>("array element type"));
  MDSA_ASSIGN(const std::uint64_t count, Read<std::uint64_t>("array length"));
  const std::optional<std::uint64_t> size = FixedSize(type);
  if (!size) {
    return Err(ErrorCode::kInvalidFormat, "unknown array element type {} at offset {}", type,
               start);
  }
  const std::size_t first = reader_.offset();
  if (*size != 0) {
    const std::optional<std::uint64_t> bytes = CheckedMul(count, *size);
    if (!bytes || !reader_.ReadBytes(*bytes)) {
      return Truncated(fmt::format("array of {} elements", count));
    }
  } else {
    for (std::uint64_t i = 0; i < count; ++i) {
      if (static_cast<GgufType>(type) == GgufType::kString) {
        MDSA_TRY(ReadString("string of an array"));
      } else {
        MDSA_TRY(ParseArray(depth + 1));
      }
    }
  }
  return GgufArray{static_cast<GgufType>(type), count,
                   file_.subspan(first, reader_.offset() - first)};
}

Status GgufParser::ParseAlignment() {
  constexpr std::string_view kKey = "general.alignment";
  if (!out_.Has(kKey)) return {};
  MDSA_ASSIGN(const auto alignment,
              out_.Integer(kKey, 1, std::numeric_limits<std::uint32_t>::max()));
  if (!std::has_single_bit(static_cast<std::uint64_t>(*alignment))) {
    return Err(ErrorCode::kInvalidFormat, "key '{}': {} is not a power of two", kKey, *alignment);
  }
  alignment_ = static_cast<std::uint64_t>(*alignment);
  return {};
}

Status GgufParser::ParseTensor(std::uint64_t index) {
  const std::size_t start = reader_.offset();
  MDSA_ASSIGN(const std::string_view name, ReadString(fmt::format("name of tensor {}", index)));
  Placement placement{out_.tensors_.size(), 0, 0};
  auto tensor = ParseTensorBody(name, placement);
  if (!tensor) {
    return std::unexpected(std::move(tensor).error().AddContext(
        fmt::format("tensor {} described at offset {}", Printable(name), start)));
  }
  if (!out_.tensor_index_.emplace(name, placement.tensor).second) {
    return Err(ErrorCode::kInvalidFormat, "tensor {} occurs again at offset {}", Printable(name),
               start);
  }
  out_.tensors_.push_back(*std::move(tensor));
  placements_.push_back(placement);
  return {};
}

Result<GgufTensor> GgufParser::ParseTensorBody(std::string_view name, Placement& placement) {
  GgufTensor tensor;
  tensor.name = name;
  MDSA_ASSIGN(const std::uint32_t dimensions, Read<std::uint32_t>("number of dimensions"));
  if (dimensions > kMaxDimensions) {
    return Err(ErrorCode::kInvalidFormat, "{} dimensions; at most {} are legal", dimensions,
               kMaxDimensions);
  }
  tensor.shape.resize(dimensions);
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    MDSA_ASSIGN(const std::uint64_t dim, Read<std::uint64_t>("dimension"));
    if (!std::in_range<std::int64_t>(dim)) {
      return Err(ErrorCode::kInvalidFormat, "dimension {} is {}", i, dim);
    }
    tensor.shape[dimensions - 1 - i] = static_cast<std::int64_t>(dim);
  }
  MDSA_ASSIGN(const std::uint32_t type, Read<std::uint32_t>("element type"));
  MDSA_ASSIGN(placement.begin, Read<std::uint64_t>("data offset"));
  MDSA_ASSIGN(tensor.dtype, ParseTensorType(type));
  const DTypeTraits& traits = TraitsOf(tensor.dtype);
  const std::int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (row % traits.block_elements != 0) {
    return Err(ErrorCode::kInvalidFormat,
               "rows of {} elements are no multiple of the {} of a {} "
               "block",
               row, traits.block_elements, traits.name);
  }
  const std::optional<std::int64_t> elements = CheckedProduct(tensor.shape);
  const std::optional<std::int64_t> bytes =
      elements ? ByteSize(tensor.dtype, *elements) : std::nullopt;
  if (!bytes) return Err(ErrorCode::kInvalidFormat, "the size of the shape overflows 64 bits");
  placement.size = static_cast<std::uint64_t>(*bytes);
  if (placement.begin % alignment_ != 0) {
    return Err(ErrorCode::kInvalidFormat, "data offset {} is no multiple of the alignment {}",
               placement.begin, alignment_);
  }
  return tensor;
}

Status GgufParser::PlaceData() {
  const std::uint64_t padding = (alignment_ - reader_.offset() % alignment_) % alignment_;
  // A file without data may end before the padding.
  const std::size_t start = reader_.offset() + static_cast<std::size_t>(std::min<std::uint64_t>(
                                                   padding, reader_.remaining()));
  const std::span<const std::byte> data = file_.subspan(start);
  std::ranges::sort(placements_, [](const Placement& a, const Placement& b) {
    return std::pair(a.begin, a.size) < std::pair(b.begin, b.size);
  });
  std::uint64_t end = 0;
  for (const Placement& place : placements_) {
    GgufTensor& tensor = out_.tensors_[place.tensor];
    if (place.begin > data.size() || place.size > data.size() - place.begin) {
      return Err(
          ErrorCode::kInvalidFormat,
          "tensor {}: {} bytes at data offset {} end beyond the file of {} bytes, whose data "
          "begin at offset {} (truncated?)",
          Printable(tensor.name), place.size, place.begin, file_.size(), start);
    }
    if (place.begin < end) {
      return Err(ErrorCode::kInvalidFormat,
                 "tensor {}: data at file offset {} overlap another tensor's, which end at {}",
                 Printable(tensor.name), start + place.begin, start + end);
    }
    end = place.begin + place.size;
    tensor.bytes =
        data.subspan(static_cast<std::size_t>(place.begin), static_cast<std::size_t>(place.size));
  }
  return {};
}

Result<GgufFile> ParseGguf(std::span<const std::byte> file) { return GgufParser(file).Parse(); }

}  // namespace mdsa
