// Chooses the next token from logits, with the meaning and order of transformers' processors:
// repetition penalty, suppression of end tokens before min_new_tokens, then, when sampling,
// temperature, top-k, top-p and min-p.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mdsa/model.h"
#include "mdsa/result.h"

namespace mdsa::engine {

// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // Uniform in [0, 1): the upper 53 bits times 2^-53.
  double NextUnit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

// kInvalidArgument naming the option and its range.
Status CheckGenerationOptions(const GenerationOptions& options, std::int64_t vocab_size);

// One generation's sampler. Allocates only while it is built. Not thread-safe.
class Sampler {
 public:
  struct Candidate {
    TokenId id;
    float score;  // relative to the best, after temperature
    double probability;
  };

  // `options` are checked. `eos_ids` are suppressed before options.min_new_tokens.
  Sampler(const GenerationOptions& options, std::span<const TokenId> eos_ids,
          std::int64_t vocab_size, std::uint64_t seed);

  // What a sampler of these options takes at most. `options` are checked.
  static std::uint64_t Bytes(const GenerationOptions& options, std::int64_t vocab_size);

  // A token of the prompt or of the answer: the repetition penalty applies to it from now on. `id`
  // is in the vocabulary.
  void Observe(TokenId id);

  // The token after `new_tokens` tokens of the answer. `logits` has vocab_size values. A NaN or
  // +infinity, or nothing but -infinity, is kInvalidFormat: finite weights within the range of
  // their storage do not produce it, so the checkpoint is damaged or does not fit its storage type.
  // The same after the penalty and the suppression is kInvalidArgument: the options do not fit.
  Result<TokenId> Next(std::span<const float> logits, std::int64_t new_tokens);

  // The distribution that Next draws from when sampling, ids rising; valid until the next call.
  Result<std::span<const Candidate>> Distribution(std::span<const float> logits,
                                                  std::int64_t new_tokens);

 private:
  Result<std::span<const float>> Process(std::span<const float> logits, std::int64_t new_tokens);
  void KeepTopK();
  void KeepTopP();
  void KeepMinP();
  void SetProbabilities();

  GenerationOptions options_;
  std::vector<TokenId> eos_ids_;  // those inside the vocabulary
  SplitMix64 random_;
  std::vector<std::uint8_t> observed_;  // [vocab_size], empty without a penalty
  std::vector<TokenId> observed_ids_;
  std::vector<float> scores_;  // [vocab_size]
  std::vector<float> best_;    // the k best scores, as a heap
  std::vector<Candidate> candidates_;
};

}  // namespace mdsa::engine
