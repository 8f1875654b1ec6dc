// For tests: a complete checkpoint folder of a Llama with 200-odd random-looking parameters.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "engine/load.h"
#include "formats/test_support.h"

namespace mdsa::test {

inline constexpr std::string_view kTinyLlamaConfig =
    R"({"model_type":"llama","architectures":["LlamaForCausalLM"],"hidden_size":8,)"
    R"("intermediate_size":16,"num_hidden_layers":2,"num_attention_heads":2,)"
    R"("num_key_value_heads":1,"vocab_size":12,"max_position_embeddings":64,)"
    R"("rms_norm_eps":1e-5,"tie_word_embeddings":false,"torch_dtype":"float32"})";

// model.safetensors of `config`, every tensor fp32, all values small.
inline std::string TinyWeights(const ArchitectureConfig& config) {
  std::string header;
  std::string data;
  for (const engine::TensorSpec& spec : engine::TensorSpecs(config)) {
    std::int64_t elements = 1;
    std::string shape;
    for (const std::int64_t dim : spec.shape) {
      elements *= dim;
      shape += fmt::format("{}{}", shape.empty() ? "" : ",", dim);
    }
    const std::size_t begin = data.size();
    for (std::int64_t i = 0; i < elements; ++i) {
      data += Raw(0.01f * static_cast<float>((i * 7 + 3) % 19 - 9));
    }
    header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})",
                          header.empty() ? "" : ",", spec.name, shape, begin, data.size());
  }
  // The data is aligned, as real writers do it.
  header = fmt::format("{{{}{}}}", std::string(8 - (header.size() + 2) % 8, ' '), header);
  return Raw<std::uint64_t>(header.size()) + header + data;
}

inline void WriteTinyLlama(const TemporaryFolder& folder, const std::string& prefix = "") {
  folder.Write(prefix + "config.json", kTinyLlamaConfig);
  const auto config = ParseHfConfig(kTinyLlamaConfig);
  ASSERT_TRUE(config) << config.error().ToString();
  folder.Write(prefix + "model.safetensors", TinyWeights(*config));
}

}  // namespace mdsa::test
