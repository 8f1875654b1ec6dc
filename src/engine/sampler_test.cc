#include "engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "support/tiny_model.h"

namespace mdsa::engine {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> RandomLogits(std::size_t n, std::uint64_t seed) {
  testing::RandomFloats random(seed);
  std::vector<float> logits(n);
  // Coarse steps, so that ties occur.
  for (float& x : logits) x = std::round(random.Next() * 20.0f) / 4.0f;
  return logits;
}

// The definitions, one full pass over the vocabulary each, in transformers' order.
std::map<TokenId, double> ReferenceDistribution(std::vector<double> scores,
                                                const GenerationOptions& options) {
  const auto softmax = [&] {
    const double best = *std::max_element(scores.begin(), scores.end());
    std::vector<double> p(scores.size());
    double sum = 0.0;
    for (std::size_t i = 0; i < p.size(); ++i) sum += p[i] = std::exp(scores[i] - best);
    for (double& x : p) x /= sum;
    return p;
  };
  for (double& x : scores) x /= options.temperature;
  if (options.top_k > 0 && std::cmp_less(options.top_k, scores.size())) {
    std::vector<double> sorted = scores;
    std::sort(sorted.begin(), sorted.end(), std::greater());
    const double least = sorted[static_cast<std::size_t>(options.top_k - 1)];
    for (double& x : scores) x = x < least ? -kInfinity : x;
  }
  if (options.top_p < 1.0) {
    const std::vector<double> p = softmax();
    std::vector<std::size_t> rising(p.size());
    std::iota(rising.begin(), rising.end(), std::size_t{0});
    std::stable_sort(rising.begin(), rising.end(), [&](std::size_t a, std::size_t b) {
      return p[a] != p[b] ? p[a] < p[b] : a > b;
    });
    double sum = 0.0;
    for (std::size_t i = 0; i + 1 < rising.size(); ++i) {
      sum += p[rising[i]];
      if (sum <= 1.0 - options.top_p) scores[rising[i]] = -kInfinity;
    }
  }
  if (options.min_p > 0.0) {
    const std::vector<double> p = softmax();
    const double best = *std::max_element(p.begin(), p.end());
    for (std::size_t i = 0; i < p.size(); ++i) {
      if (p[i] < options.min_p * best) scores[i] = -kInfinity;
    }
  }
  const std::vector<double> p = softmax();
  std::map<TokenId, double> result;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] > 0.0) result[static_cast<TokenId>(i)] = p[i];
  }
  return result;
}

TEST(SamplerTest, DistributionFollowsTheDefinitions) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    testing::RandomFloats random(seed + 1000);
    GenerationOptions options;
    options.do_sample = true;
    options.temperature = 0.3 + std::abs(random.Next());
    options.top_k = seed % 3 == 0 ? 0 : static_cast<std::int64_t>(1 + seed % 40);
    options.top_p = seed % 4 == 0 ? 1.0 : 0.05 + 0.9 * std::abs(random.Next());
    options.min_p = seed % 5 == 0 ? 0.0 : 0.3 * std::abs(random.Next());
    const std::vector<float> logits = RandomLogits(33, seed);
    Sampler sampler(options, {}, 33, 1);
    const auto found = sampler.Distribution(logits, 0);
    ASSERT_TRUE(found) << found.error().ToString();
    const auto expected = ReferenceDistribution({logits.begin(), logits.end()}, options);
    ASSERT_EQ(found->size(), expected.size()) << "seed " << seed;
    for (const Sampler::Candidate& candidate : *found) {
      ASSERT_TRUE(expected.contains(candidate.id));
      EXPECT_NEAR(candidate.probability, expected.at(candidate.id), 1e-6);
    }
  }
}

TEST(SamplerTest, DrawsWithTheGivenProbabilities) {
  GenerationOptions options;
  options.do_sample = true;
  options.top_k = 0;
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -kInfinity};
  Sampler sampler(options, {}, 4, 42);
  std::array<int, 4> counts{};
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<std::size_t>(*sampler.Next(logits, i))];
  const double sum = 1.0 + std::exp(1.0) + std::exp(2.0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(counts[static_cast<std::size_t>(i)] / double{kDraws}, std::exp(i) / sum, 0.015);
  }
  EXPECT_EQ(counts[3], 0);
}

TEST(SamplerTest, SeedDecidesTheTokensAndTheGeneratorIsSplitMix64) {
  // First outputs for seed 1234567, as published with the generator.
  SplitMix64 random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317u);
  EXPECT_EQ(random.Next(), 3203168211198807973u);

  GenerationOptions options;
  options.do_sample = true;
  const std::vector<float> logits = RandomLogits(100, 5);
  const auto draw = [&](std::uint64_t seed) {
    Sampler sampler(options, {}, 100, seed);
    std::vector<TokenId> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(*sampler.Next(logits, i));
    return ids;
  };
  EXPECT_EQ(draw(7), draw(7));
  EXPECT_NE(draw(7), draw(8));
}

TEST(SamplerTest, GreedyTakesTheFirstOfTheBest) {
  Sampler sampler(GenerationOptions{}, {}, 4, 0);
  EXPECT_EQ(*sampler.Next(std::array{1.0f, 3.0f, 3.0f, -kInfinity}, 0), 1);
}

TEST(SamplerTest, RepetitionPenaltyDividesPositiveAndMultipliesNegativeScores) {
  GenerationOptions options;
  options.repetition_penalty = 2.0;
  Sampler sampler(options, {}, 3, 0);
  const std::array logits = {4.0f, 2.5f, -1.0f};
  EXPECT_EQ(*sampler.Next(logits, 0), 0);
  sampler.Observe(0);
  sampler.Observe(0);  // a second time changes nothing
  EXPECT_EQ(*sampler.Next(logits, 0), 1);
  const std::array negative = {-1.0f, -1.5f, -1.8f};
  EXPECT_EQ(*sampler.Next(negative, 0), 1);  // -2, -1.5, -1.8
}

TEST(SamplerTest, EndTokensAreSuppressedBeforeTheMinimum) {
  GenerationOptions options;
  options.min_new_tokens = 2;
  Sampler sampler(options, std::array<TokenId, 2>{1, 99}, 3, 0);
  const std::array logits = {0.0f, 5.0f, 1.0f};
  EXPECT_EQ(*sampler.Next(logits, 0), 2);
  EXPECT_EQ(*sampler.Next(logits, 1), 2);
  EXPECT_EQ(*sampler.Next(logits, 2), 1);
}

TEST(SamplerTest, ExtremeTemperaturesStayFinite) {
  GenerationOptions options;
  options.do_sample = true;
  options.temperature = std::numeric_limits<double>::denorm_min();
  Sampler cold(options, {}, 3, 0);
  EXPECT_EQ(*cold.Next(std::array{1e30f, 2e30f, -3e38f}, 0), 1);
  options.temperature = std::numeric_limits<double>::max();
  Sampler hot(options, {}, 3, 0);
  const auto flat = hot.Distribution(std::array{1.0f, 2.0f, 3.0f}, 0);
  ASSERT_TRUE(flat);
  EXPECT_NEAR(flat->front().probability, 1.0 / 3.0, 1e-9);
}

TEST(SamplerTest, LogitsThatAreNoNumbersAreAnError) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (bool do_sample : {false, true}) {
    GenerationOptions options;
    options.do_sample = do_sample;
    for (const std::array<float, 2>& logits :
         {std::array{nan, 1.0f}, std::array{1.0f, kInfinity}, std::array{-kInfinity, -kInfinity}}) {
      Sampler sampler(options, {}, 2, 0);
      const auto id = sampler.Next(logits, 0);
      ASSERT_FALSE(id);
      EXPECT_EQ(id.error().code(), ErrorCode::kInvalidFormat);
    }
  }
}

TEST(SamplerTest, OptionsOutOfRangeAreNamed) {
  const auto error_of = [](auto change) {
    GenerationOptions options;
    options.do_sample = true;
    change(options);
    const Status status = CheckGenerationOptions(options, 10);
    return status ? std::string() : status.error().message();
  };
  using O = GenerationOptions;
  using ::testing::HasSubstr;
  const double nan = std::nan("");
  EXPECT_EQ(error_of([](O&) {}), "");
  EXPECT_THAT(error_of([](O& o) { o.max_new_tokens = 0; }), HasSubstr("max_new_tokens"));
  EXPECT_THAT(error_of([](O& o) { o.min_new_tokens = 257; }), HasSubstr("min_new_tokens"));
  EXPECT_THAT(error_of([](O& o) { o.temperature = 0.0; }), HasSubstr("temperature"));
  EXPECT_THAT(error_of([&](O& o) { o.temperature = nan; }), HasSubstr("temperature"));
  EXPECT_THAT(error_of([](O& o) { o.top_k = -1; }), HasSubstr("top_k"));
  EXPECT_THAT(error_of([](O& o) { o.top_p = 0.0; }), HasSubstr("top_p"));
  EXPECT_THAT(error_of([&](O& o) { o.top_p = nan; }), HasSubstr("top_p"));
  EXPECT_THAT(error_of([](O& o) { o.min_p = 1.0; }), HasSubstr("min_p"));
  EXPECT_THAT(error_of([](O& o) { o.repetition_penalty = 0.0; }), HasSubstr("repetition_penalty"));
  EXPECT_THAT(error_of([](O& o) { o.eos_token_ids = {10}; }), HasSubstr("eos_token_ids"));
}

}  // namespace
}  // namespace mdsa::engine
