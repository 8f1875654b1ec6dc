// Builders of checkpoint files, valid and broken, for tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/temporary_folder.h"
#include "mdsa/result.h"

namespace mdsa::test {

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

template <typename T>
std::string Raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

// Fails unless `result` is an error of `code` whose full text has every part.
template <typename T>
void ExpectError(const Result<T>& result, ErrorCode code,
                 std::initializer_list<std::string_view> parts) {
  ASSERT_FALSE(result) << "expected an error";
  EXPECT_EQ(result.error().code(), code) << result.error().ToString();
  for (std::string_view part : parts) {
    EXPECT_THAT(result.error().ToString(), testing::HasSubstr(std::string(part)));
  }
}

// A safetensors file: the header's length, the header, then `data_bytes` bytes 0, 1, 2, ...
inline std::string Safetensors(std::string_view header, std::size_t data_bytes) {
  std::string file = Raw<std::uint64_t>(header.size()) + std::string(header);
  for (std::size_t i = 0; i < data_bytes; ++i) file.push_back(static_cast<char>(i));
  return file;
}

inline std::string GgufString(std::string_view text) {
  return Raw<std::uint64_t>(text.size()) + std::string(text);
}

// Collects the parts of a GGUF file; every part may be wrong on purpose.
class GgufBuilder {
 public:
  std::uint32_t version = 3;
  std::string magic = "GGUF";
  std::uint64_t extra_tensors = 0;   // claimed but absent
  std::uint64_t extra_metadata = 0;  // claimed but absent
  std::size_t alignment = 32;        // of the padding before the data

  GgufBuilder& Entry(std::string_view key, std::uint32_t type, std::string_view payload) {
    metadata_ += GgufString(key) + Raw(type) + std::string(payload);
    ++metadata_count_;
    return *this;
  }
  GgufBuilder& U32(std::string_view key, std::uint32_t value) { return Entry(key, 4, Raw(value)); }
  GgufBuilder& F32(std::string_view key, float value) { return Entry(key, 6, Raw(value)); }
  GgufBuilder& Bool(std::string_view key, bool value) {
    return Entry(key, 7, Raw<std::uint8_t>(value ? 1 : 0));
  }
  GgufBuilder& String(std::string_view key, std::string_view value) {
    return Entry(key, 8, GgufString(value));
  }
  GgufBuilder& Strings(std::string_view key, const std::vector<std::string>& values) {
    std::string payload = Raw<std::uint32_t>(8) + Raw<std::uint64_t>(values.size());
    for (const std::string& value : values) payload += GgufString(value);
    return Entry(key, 9, payload);
  }
  // `dims` as the file has them: fastest first.
  GgufBuilder& Tensor(std::string_view name, const std::vector<std::uint64_t>& dims,
                      std::uint32_t type, std::uint64_t offset) {
    tensors_ += GgufString(name) + Raw(static_cast<std::uint32_t>(dims.size()));
    for (std::uint64_t dim : dims) tensors_ += Raw(dim);
    tensors_ += Raw(type) + Raw(offset);
    ++tensor_count_;
    return *this;
  }
  // An F32 tensor placed after all before it.
  GgufBuilder& F32Tensor(std::string_view name, const std::vector<std::uint64_t>& dims) {
    std::uint64_t bytes = 4;
    for (std::uint64_t dim : dims) bytes *= dim;
    Tensor(name, dims, 0, data_bytes);
    data_bytes += (bytes + 31) / 32 * 32;
    return *this;
  }
  std::size_t data_bytes = 0;

  // `data_bytes` bytes 0, 1, 2, ... follow the descriptions.
  std::string Build() const {
    std::string file = magic + Raw(version) + Raw(tensor_count_ + extra_tensors) +
                       Raw(metadata_count_ + extra_metadata) + metadata_ + tensors_;
    file.append((alignment - file.size() % alignment) % alignment, '\0');
    for (std::size_t i = 0; i < data_bytes; ++i) file.push_back(static_cast<char>(i));
    return file;
  }

 private:
  std::string metadata_, tensors_;
  std::uint64_t metadata_count_ = 0, tensor_count_ = 0;
};

// The metadata of a llama of hidden size 8, two heads of 4, one of them for keys and values.
inline GgufBuilder TinyLlamaGguf() {
  GgufBuilder gguf;
  gguf.String("general.architecture", "llama")
      .U32("llama.embedding_length", 8)
      .U32("llama.feed_forward_length", 16)
      .U32("llama.block_count", 1)
      .U32("llama.context_length", 64)
      .U32("llama.attention.head_count", 2)
      .U32("llama.attention.head_count_kv", 1)
      .F32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  return gguf;
}

}  // namespace mdsa::test
