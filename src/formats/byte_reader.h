// A cursor over little-endian bytes that cannot leave them.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace mdsa {

// Never owns. Thread-compatible.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes, std::size_t offset = 0)
      : bytes_(bytes), offset_(offset) {}

  std::size_t offset() const { return offset_; }
  std::size_t remaining() const { return bytes_.size() - offset_; }

  // nullopt, without moving, if fewer bytes remain.
  template <typename T>
    requires std::integral<T> || std::floating_point<T>
  std::optional<T> Read() {
    static_assert(std::endian::native == std::endian::little);
    if (remaining() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }
  std::optional<std::span<const std::byte>> ReadBytes(std::uint64_t count) {
    if (remaining() < count) return std::nullopt;
    const auto bytes = bytes_.subspan(offset_, static_cast<std::size_t>(count));
    offset_ += bytes.size();
    return bytes;
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t offset_;
};

}  // namespace mdsa
