// Where everything lies in a safetensors file that is to be written: the same order, header and
// padding as the reference writer's, so that equal tensors give equal files.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "formats/dtype.h"
#include "mdsa/result.h"

namespace mdsa {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
};

// Layout: 8 bytes little-endian header length N, N bytes of JSON padded with spaces to a multiple
// of 8, then the tensors without gaps: widest element type first, then by name. Thread-safe:
// immutable after Create.
class SafetensorsLayout {
 public:
  struct Placed {
    SafetensorsEntry entry;
    std::uint64_t offset = 0;  // from the beginning of the file
    std::uint64_t bytes = 0;
  };

  // kInvalidArgument for a repeated or empty name, one that is no UTF-8 or "__metadata__", and a
  // negative dimension; kUnsupported for a type that safetensors does not know (GGUF blocks) or a
  // header above the format's limit of 100,000,000 bytes. Names the tensor.
  static Result<SafetensorsLayout> Create(std::vector<SafetensorsEntry> entries,
                                          const std::map<std::string, std::string>& metadata);

  // The first bytes of the file: length, JSON, padding.
  const std::string& head() const { return head_; }
  // In the order of the file.
  std::span<const Placed> tensors() const { return tensors_; }
  // nullptr if there is none of that name.
  const Placed* Find(std::string_view name) const;
  std::uint64_t file_bytes() const { return file_bytes_; }

 private:
  SafetensorsLayout() = default;
  Status Place();
  Status WriteHead(const std::map<std::string, std::string>& metadata);

  std::vector<Placed> tensors_;
  std::map<std::string, std::size_t, std::less<>> index_;  // name to position in tensors_
  std::string head_;
  std::uint64_t file_bytes_ = 0;
};

}  // namespace mdsa
