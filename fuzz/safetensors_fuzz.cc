// Any bytes are a header with its tensors or an error; every tensor lies within the file.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> file = std::as_bytes(std::span(data, size));
  const auto header = mdsa::ParseSafetensorsHeader(file);
  if (!header) {
    MDSA_CHECK(!header.error().ToString().empty());
    return 0;
  }
  std::size_t covered = 0;
  unsigned sum = 0;
  for (const mdsa::TensorInfo& tensor : header->tensors) {
    MDSA_CHECK(tensor.bytes.data() >= file.data());
    MDSA_CHECK(tensor.bytes.data() + tensor.bytes.size() <= file.data() + file.size());
    const auto bytes = mdsa::ByteSize(tensor.dtype, tensor.elements());
    MDSA_CHECK(bytes && static_cast<std::size_t>(*bytes) == tensor.bytes.size());
    for (std::byte byte : tensor.bytes) sum += static_cast<unsigned>(byte);
    covered += tensor.bytes.size();
  }
  MDSA_CHECK(covered <= size && sum <= 255 * size);
  return 0;
}
