// The tensors of a quantized checkpoint: which are converted, where they lie in the new file, and
// the conversion itself, one tensor in memory at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/page_buffer.h"
#include "engine/load.h"
#include "formats/safetensors_writer.h"
#include "formats/tensor_source.h"
#include "io/output_file.h"
#include "mdsa/quantize.h"
#include "models/bitsandbytes_format.h"
#include "models/checkpoint.h"

namespace mdsa {

// One use: Plan, then Write. Not thread-safe. Views `checkpoint` and `options`.
class CheckpointQuantizer {
 public:
  CheckpointQuantizer(const Checkpoint& checkpoint, const QuantizeOptions& options)
      : checkpoint_(checkpoint), options_(options) {}

  // Decides about every tensor and lays out the file. Encodes NF4 weights once already, for the
  // length of their header depends on a digit string that comes out of it. kUnsupported names a
  // tensor that cannot be written exactly.
  Result<SafetensorsLayout> Plan();
  // Converts and writes everything but the head.
  Status Write(const SafetensorsLayout& layout, OutputFile& file);

  QuantizeReport report() const { return report_; }
  // The element type that transformers gives to what is not quantized.
  DType dtype() const { return dtype_; }

 private:
  struct Item {
    const TensorInfo* tensor = nullptr;
    bool quantized = false;
    std::string quant_state;  // NF4 only
  };
  // A tensor in the element type of the model, its own bytes or converted ones.
  struct Plain {
    TensorInfo tensor;
    PageBuffer buffer;
  };

  // Of every tensor that the model has.
  using Roles = std::unordered_map<const TensorInfo*, engine::TensorRole>;

  Status ChooseDType();
  Status Collect();
  Result<Roles> FindRoles() const;
  Result<Plain> InModelType(const TensorInfo& tensor) const;
  // Encodes a weight into `buffer` and gives the parts that lie there.
  Result<std::vector<QuantizedPart>> Encode(Item& item, PageBuffer& buffer) const;
  Status WriteItem(Item& item, const SafetensorsLayout& layout, OutputFile& file);
  Status Report(const TensorInfo& tensor);

  const Checkpoint& checkpoint_;
  const QuantizeOptions& options_;
  DType dtype_ = DType::kF32;
  std::vector<Item> items_;
  QuantizeReport report_;
  std::uint64_t bytes_done_ = 0;
  std::uint64_t bytes_total_ = 0;
};

}  // namespace mdsa
