#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "base/heap_bytes.h"
#include "kernels/ops.h"

namespace mdsa::engine {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What is wrong with the scores; empty if a token can be chosen by them.
std::string_view Defect(std::span<const float> scores) {
  bool any_finite = false;
  bool bad = false;
  for (float x : scores) {
    bad |= !(x < kInfinity);  // also catches NaN
    any_finite |= x > -kInfinity;
  }
  return bad ? "NaN or infinite logits" : any_finite ? "" : "no finite logit";
}

// Elements of the arrays of a sampler: none for those that its options do not use.
struct Sizes {
  std::size_t observed = 0;
  std::size_t scores = 0;
  std::size_t candidates = 0;
  std::size_t best = 0;
};

Sizes SizesOf(const GenerationOptions& options, std::size_t vocab) {
  Sizes sizes;
  const bool penalizes = options.repetition_penalty != 1.0;
  if (penalizes) sizes.observed = vocab;
  if (penalizes || options.do_sample || options.min_new_tokens > 0) sizes.scores = vocab;
  if (options.do_sample) {
    sizes.candidates = vocab;
    sizes.best = std::min(static_cast<std::size_t>(options.top_k), vocab);
  }
  return sizes;
}

}  // namespace

Status CheckGenerationOptions(const GenerationOptions& options, std::int64_t vocab_size) {
  const auto invalid = [](std::string_view name, auto value, std::string_view range) {
    return Err(ErrorCode::kInvalidArgument, "{} must be {}, not {}", name, range, value);
  };
  if (options.max_new_tokens < 1) {
    return invalid("max_new_tokens", options.max_new_tokens, "at least 1");
  }
  if (options.min_new_tokens < 0 || options.min_new_tokens > options.max_new_tokens) {
    return invalid("min_new_tokens", options.min_new_tokens, "from 0 to max_new_tokens");
  }
  if (!(options.repetition_penalty > 0.0) ||
      !std::isnormal(static_cast<float>(options.repetition_penalty))) {
    return invalid("repetition_penalty", options.repetition_penalty,
                   "above 0 and within the range of a float");
  }
  if (options.do_sample) {
    if (!(options.temperature > 0.0) || !std::isfinite(options.temperature)) {
      return invalid("temperature", options.temperature,
                     "finite and above 0 when sampling (do_sample=false is greedy)");
    }
    if (options.top_k < 0) return invalid("top_k", options.top_k, "at least 0 (0: off)");
    if (!(options.top_p > 0.0 && options.top_p <= 1.0)) {
      return invalid("top_p", options.top_p, "in (0, 1]");
    }
    if (!(options.min_p >= 0.0 && options.min_p < 1.0)) {
      return invalid("min_p", options.min_p, "in [0, 1)");
    }
  }
  for (TokenId id : options.eos_token_ids) {
    if (id < 0 || id >= vocab_size) {
      return Err(ErrorCode::kInvalidArgument, "eos_token_ids: {} is outside the vocabulary of {}",
                 id, vocab_size);
    }
  }
  return {};
}

Sampler::Sampler(const GenerationOptions& options, std::span<const TokenId> eos_ids,
                 std::int64_t vocab_size, std::uint64_t seed)
    : options_(options), random_(seed) {
  const auto vocab = static_cast<std::size_t>(vocab_size);
  for (TokenId id : eos_ids) {
    if (id >= 0 && id < vocab_size) eos_ids_.push_back(id);
  }
  const Sizes sizes = SizesOf(options_, vocab);
  observed_.resize(sizes.observed);
  observed_ids_.reserve(sizes.observed);
  scores_.reserve(sizes.scores);
  candidates_.reserve(sizes.candidates);
  best_.reserve(sizes.best);
}

std::uint64_t Sampler::Bytes(const GenerationOptions& options, std::int64_t vocab_size) {
  const Sizes sizes = SizesOf(options, static_cast<std::size_t>(vocab_size));
  return HeapBlockBytes(sizes.observed) + HeapBlockBytes(sizes.observed * sizeof(TokenId)) +
         HeapBlockBytes(sizes.scores * sizeof(float)) +
         HeapBlockBytes(sizes.candidates * sizeof(Candidate)) +
         HeapBlockBytes(sizes.best * sizeof(float));
}

void Sampler::Observe(TokenId id) {
  if (observed_.empty() || observed_[static_cast<std::size_t>(id)] != 0) return;
  observed_[static_cast<std::size_t>(id)] = 1;
  observed_ids_.push_back(id);
}

Result<std::span<const float>> Sampler::Process(std::span<const float> logits,
                                                std::int64_t new_tokens) {
  if (const std::string_view defect = Defect(logits); !defect.empty()) {
    return Err(ErrorCode::kInvalidFormat,
               "the model computed {}: its weights are damaged or exceed the range of their "
               "storage type; check the checkpoint or load it with quantization 'none' or "
               "'bfloat16'",
               defect);
  }
  const bool suppress = new_tokens < options_.min_new_tokens && !eos_ids_.empty();
  if (!suppress && observed_ids_.empty()) return logits;
  scores_.assign(logits.begin(), logits.end());
  const auto penalty = static_cast<float>(options_.repetition_penalty);
  for (TokenId id : observed_ids_) {
    float& score = scores_[static_cast<std::size_t>(id)];
    score = score < 0.0f ? score * penalty : score / penalty;
  }
  if (suppress) {
    for (TokenId id : eos_ids_) scores_[static_cast<std::size_t>(id)] = -kInfinity;
  }
  if (const std::string_view defect = Defect(scores_); !defect.empty()) {
    return Err(ErrorCode::kInvalidArgument,
               "repetition_penalty {} and {} suppressed end tokens leave {}",
               options_.repetition_penalty, suppress ? eos_ids_.size() : 0, defect);
  }
  return scores_;
}

Result<TokenId> Sampler::Next(std::span<const float> logits, std::int64_t new_tokens) {
  if (!options_.do_sample) {
    MDSA_ASSIGN(const std::span<const float> scores, Process(logits, new_tokens));
    return static_cast<TokenId>(kernels::ArgMax(scores.data(), std::ssize(scores)));
  }
  MDSA_TRY(Distribution(logits, new_tokens));
  const double target = random_.NextUnit();
  double cumulative = 0.0;
  for (const Candidate& candidate : candidates_) {
    cumulative += candidate.probability;
    if (target < cumulative) return candidate.id;
  }
  // Rounding left the sum a little below 1: the last one that has a chance.
  for (std::size_t i = candidates_.size(); i-- > 0;) {
    if (candidates_[i].probability > 0.0) return candidates_[i].id;
  }
  return candidates_.front().id;
}

Result<std::span<const Sampler::Candidate>> Sampler::Distribution(std::span<const float> logits,
                                                                  std::int64_t new_tokens) {
  MDSA_ASSIGN(const std::span<const float> scores, Process(logits, new_tokens));
  // Relative to the best, so that a tiny temperature sends the others to -infinity instead of the
  // best to +infinity.
  const double best = std::ranges::max(scores);
  candidates_.clear();
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] == -kInfinity) continue;
    const double score = (scores[i] - best) / options_.temperature;
    candidates_.push_back({static_cast<TokenId>(i), static_cast<float>(score), 0.0});
  }
  KeepTopK();
  KeepTopP();
  KeepMinP();
  SetProbabilities();
  return candidates_;
}

// Keeps the k best and whatever ties with the last of them.
void Sampler::KeepTopK() {
  const auto k = static_cast<std::size_t>(options_.top_k);
  if (k == 0 || k >= candidates_.size()) return;
  best_.clear();
  for (const Candidate& candidate : candidates_) {
    if (best_.size() < k) {
      best_.push_back(candidate.score);
      std::ranges::push_heap(best_, std::greater());
    } else if (candidate.score > best_.front()) {
      std::ranges::pop_heap(best_, std::greater());
      best_.back() = candidate.score;
      std::ranges::push_heap(best_, std::greater());
    }
  }
  const float least = best_.front();
  std::erase_if(candidates_, [&](const Candidate& c) { return c.score < least; });
}

// Drops the tail whose probabilities, summed from the least likely up, stay within 1 - top_p; the
// most likely one always remains. Of equal scores the higher id goes first.
void Sampler::KeepTopP() {
  if (options_.top_p >= 1.0) return;
  SetProbabilities();
  std::ranges::sort(candidates_, [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.id < b.id;
  });
  double tail = 0.0;
  std::size_t kept = candidates_.size();
  while (kept > 1) {
    tail += candidates_[kept - 1].probability;
    if (tail > 1.0 - options_.top_p) break;
    --kept;
  }
  candidates_.resize(kept);
  std::ranges::sort(candidates_, {}, &Candidate::id);
}

void Sampler::KeepMinP() {
  if (options_.min_p <= 0.0) return;
  const float best = std::ranges::max(candidates_, {}, &Candidate::score).score;
  std::erase_if(candidates_, [&](const Candidate& c) {
    return std::exp(static_cast<double>(c.score) - best) < options_.min_p;
  });
}

void Sampler::SetProbabilities() {
  const float best = std::ranges::max(candidates_, {}, &Candidate::score).score;
  double sum = 0.0;
  for (Candidate& candidate : candidates_) {
    candidate.probability = std::exp(static_cast<double>(candidate.score) - best);
    sum += candidate.probability;
  }
  for (Candidate& candidate : candidates_) candidate.probability /= sum;
}

}  // namespace mdsa::engine
