// Any bytes are a model description with its tensors or an error; every tensor lies within the
// file.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/check.h"
#include "formats/gguf_config.h"
#include "formats/gguf_source.h"
#include "tokenizer_check.h"

namespace {

template <typename Tensor>
void CheckTensor(const Tensor& tensor, std::span<const std::byte> file) {
  MDSA_CHECK(tensor.bytes.data() >= file.data());
  MDSA_CHECK(tensor.bytes.data() + tensor.bytes.size() <= file.data() + file.size());
  std::int64_t elements = 1;
  for (std::int64_t dim : tensor.shape) elements *= dim;
  const auto bytes = mdsa::ByteSize(tensor.dtype, elements);
  MDSA_CHECK(bytes && static_cast<std::size_t>(*bytes) == tensor.bytes.size());
  unsigned sum = 0;
  for (std::byte byte : tensor.bytes) sum += static_cast<unsigned>(byte);
  MDSA_CHECK(sum <= 255 * tensor.bytes.size());
}

// The source maps a file: give it one in memory.
void CheckSource(std::span<const std::byte> file) {
  const int fd = memfd_create("gguf", MFD_CLOEXEC);
  MDSA_CHECK(fd >= 0);
  MDSA_CHECK(write(fd, file.data(), file.size()) == static_cast<ssize_t>(file.size()));
  auto map = mdsa::MappedFile::Open("/proc/self/fd/" + std::to_string(fd));
  close(fd);
  MDSA_CHECK(map.has_value());
  const std::span<const std::byte> bytes = (*map)->bytes();
  const auto source = mdsa::GgufSource::FromFile(*std::move(map));
  if (!source) return;
  for (const mdsa::TensorInfo& tensor : (*source)->tensors()) {
    CheckTensor(tensor, bytes);
    MDSA_CHECK((*source)->Find(tensor.name) == &tensor);
    (*source)->ReleasePages(tensor);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> file = std::as_bytes(std::span(data, size));
  const auto gguf = mdsa::ParseGguf(file);
  if (!gguf) {
    MDSA_CHECK(!gguf.error().ToString().empty());
    return 0;
  }
  for (const mdsa::GgufTensor& tensor : gguf->tensors()) CheckTensor(tensor, file);
  if (const auto vocabulary = mdsa::GgufVocabularyFrom(*gguf)) {
    if (const auto tokenizer = mdsa::Tokenizer::FromGguf(*vocabulary)) {
      mdsa::CheckTokenizer(*tokenizer, "<s> ab  Ba\u00e9\n1234 \xff");
      mdsa::CheckTokenizer(*tokenizer, vocabulary->tokens.back());
    }
  }
  static_cast<void>(mdsa::PoolingConfigFromGguf(*gguf));
  const auto config = mdsa::ArchitectureConfigFromGguf(*gguf);
  if (config) {
    MDSA_CHECK(mdsa::ValidateArchitectureConfig(*config).has_value());
    CheckSource(file);
  }
  return 0;
}
