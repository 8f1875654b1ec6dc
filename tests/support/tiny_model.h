// Small models with random weights, of every family.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/load.h"
#include "formats/architecture_config.h"
#include "support/fake_tensor_source.h"

namespace mdsa::testing {

// Uniform in [-1, 1), the same on every machine.
class RandomFloats {
 public:
  explicit RandomFloats(std::uint64_t seed) : state_(seed) {}
  float Next();

 private:
  std::uint64_t state_;
};

// Valid descriptions whose sizes are small and not multiples of anything the kernels like.
ArchitectureConfig TinyBertConfig();
ArchitectureConfig TinyLlamaConfig();
ArchitectureConfig TinyPhiConfig();

// Weights by spec name. Norm weights are near 1, everything else within +-0.3.
using TinyWeights = std::map<std::string, std::vector<float>>;
TinyWeights RandomWeights(const ArchitectureConfig& config, std::uint64_t seed = 1);

// A checkpoint of those weights; matrices as `dtype`, the rest fp32. `prefix` as in head models.
std::shared_ptr<FakeTensorSource> MakeSource(const ArchitectureConfig& config,
                                             const TinyWeights& weights, DType dtype = DType::kF32,
                                             const std::string& prefix = "");

// Everything that BuildModel needs, on one thread unless changed.
engine::BuildInput MakeBuildInput(const ArchitectureConfig& config,
                                  std::shared_ptr<const TensorSource> source);

// A ready model of such a checkpoint in fp32.
std::shared_ptr<Model> BuildTinyModel(const ArchitectureConfig& config, const TinyWeights& weights,
                                      std::int64_t max_length = 0,
                                      std::shared_ptr<const Tokenizer> tokenizer = nullptr);

// Ids in [0, vocab), the same on every machine.
std::vector<TokenId> RandomIds(std::int64_t n, std::int64_t vocab, std::uint64_t seed = 9);

}  // namespace mdsa::testing
