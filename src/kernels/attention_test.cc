// Every target against attention in double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/ops.h"
#include "kernels/target_test_util.h"

namespace mdsa::kernels {
namespace {

struct Case {
  std::int64_t m;
  std::int64_t kv_length;
  std::int64_t heads;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  bool causal = true;
  std::int64_t window = 0;
  bool mask = false;
  float query_size = 1.0f;
};

class AttentionTest : public TargetTest {};
MDSA_INSTANTIATE_FOR_TARGETS(AttentionTest);

// With exactly the scratch that the call asks for.
void Attend(const AttentionArgs& args, ThreadPool& pool) {
  TestScratch scratch(
      AttentionScratchBytes(args.m, args.heads, args.kv_heads, args.head_dim, pool.threads()));
  Attention(args, scratch.span(), pool);
}

bool Visible(const AttentionArgs& args, std::int64_t query, std::int64_t key) {
  if (args.key_mask != nullptr && args.key_mask[key] == 0) return false;
  if (!args.causal) return true;
  const std::int64_t position = args.kv_length - args.m + query;
  return key <= position && (args.window == 0 || key > position - args.window);
}

// The output of one query and head.
std::vector<double> Exact(const AttentionArgs& args, std::int64_t query, std::int64_t head) {
  const std::int64_t kv_head = head / (args.heads / args.kv_heads);
  const std::int64_t base = kv_head * args.kv_capacity * args.head_dim;
  const float* q = args.q + query * args.q_stride + head * args.head_dim;
  std::vector<double> scores;
  double max = -1e300;
  for (std::int64_t j = 0; j < args.kv_length; ++j) {
    double score = 0.0;
    for (std::int64_t d = 0; d < args.head_dim; ++d) {
      score +=
          static_cast<double>(q[d]) * static_cast<double>(args.keys[base + j * args.head_dim + d]);
    }
    scores.push_back(Visible(args, query, j) ? score * static_cast<double>(args.scale) : -1e301);
    max = std::max(max, scores.back());
  }
  std::vector<double> out(static_cast<std::size_t>(args.head_dim));
  double total = 0.0;
  for (std::int64_t j = 0; j < args.kv_length; ++j) {
    if (!Visible(args, query, j)) continue;
    const double weight = std::exp(scores[static_cast<std::size_t>(j)] - max);
    total += weight;
    for (std::int64_t d = 0; d < args.head_dim; ++d) {
      out[static_cast<std::size_t>(d)] +=
          weight * static_cast<double>(args.values[base + j * args.head_dim + d]);
    }
  }
  for (double& v : out) v = total > 0.0 ? v / total : 0.0;
  return out;
}

void Check(const Case& c, ThreadPool& pool) {
  SCOPED_TRACE(testing::Message() << "m " << c.m << " kv " << c.kv_length << " heads " << c.heads
                                  << "/" << c.kv_heads << " dim " << c.head_dim << " causal "
                                  << c.causal << " window " << c.window << " mask " << c.mask);
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  const auto fill = [&](std::int64_t n, float size) {
    std::vector<float> values(static_cast<std::size_t>(n));
    for (float& value : values) value = size * normal(random);
    return values;
  };
  AttentionArgs args;
  args.m = c.m;
  args.heads = c.heads;
  args.kv_heads = c.kv_heads;
  args.head_dim = c.head_dim;
  args.kv_length = c.kv_length;
  args.kv_capacity = c.kv_length + 3;
  args.q_stride = c.heads * c.head_dim + 5;
  args.out_stride = c.heads * c.head_dim + 2;
  args.causal = c.causal;
  args.window = c.window;
  args.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  const std::vector<float> q = fill(c.m * args.q_stride, c.query_size);
  const std::vector<float> keys = fill(c.kv_heads * args.kv_capacity * c.head_dim, 1.0f);
  const std::vector<float> values = fill(c.kv_heads * args.kv_capacity * c.head_dim, 1.0f);
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(c.kv_length));
  for (auto& visible : mask) visible = random() % 3 != 0 ? 1 : 0;
  std::vector<float> out(static_cast<std::size_t>(c.m * args.out_stride), 77.0f);
  args.q = q.data();
  args.keys = keys.data();
  args.values = values.data();
  args.key_mask = c.mask ? mask.data() : nullptr;
  args.out = out.data();
  Attend(args, pool);
  for (std::int64_t i = 0; i < c.m; ++i) {
    for (std::int64_t h = 0; h < c.heads; ++h) {
      const std::vector<double> want = Exact(args, i, h);
      for (std::int64_t d = 0; d < c.head_dim; ++d) {
        const std::int64_t at = i * args.out_stride + h * c.head_dim + d;
        ASSERT_NEAR(static_cast<double>(out[static_cast<std::size_t>(at)]),
                    want[static_cast<std::size_t>(d)],
                    3e-6 * static_cast<double>(c.query_size) + 2e-6)
            << "query " << i << " head " << h << " dim " << d;
      }
    }
    ASSERT_EQ(out[static_cast<std::size_t>(i * args.out_stride + c.heads * c.head_dim)], 77.0f);
  }
}

TEST_P(AttentionTest, DecodeWithGroupedHeads) {
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    Check({.m = 1, .kv_length = 1, .heads = 9, .kv_heads = 3, .head_dim = 64}, pool);
    Check({.m = 1, .kv_length = 130, .heads = 9, .kv_heads = 3, .head_dim = 64}, pool);
    Check({.m = 1, .kv_length = 1500, .heads = 9, .kv_heads = 3, .head_dim = 64}, pool);
    Check({.m = 1, .kv_length = 700, .heads = 32, .kv_heads = 2, .head_dim = 32}, pool);
    Check({.m = 1, .kv_length = 600, .heads = 1, .kv_heads = 1, .head_dim = 80}, pool);
    Check({.m = 3, .kv_length = 777, .heads = 4, .kv_heads = 4, .head_dim = 48}, pool);
  }
}

// Also where the keys of a few queries are split among the threads.
TEST_P(AttentionTest, ResultDoesNotDependOnTheNumberOfThreads) {
  for (const std::int64_t m : {1, 3, 70}) {
    AttentionArgs args;
    args.m = m;
    args.heads = 6;
    args.kv_heads = 2;
    args.head_dim = 40;
    args.kv_length = args.kv_capacity = 1900;
    args.q_stride = args.out_stride = args.heads * args.head_dim;
    std::mt19937 random(9);
    std::normal_distribution<float> normal;
    std::vector<float> q(static_cast<std::size_t>(m * args.q_stride));
    std::vector<float> cache(
        static_cast<std::size_t>(args.kv_heads * args.kv_capacity * args.head_dim));
    std::ranges::generate(q, [&] { return normal(random); });
    std::ranges::generate(cache, [&] { return normal(random); });
    args.q = q.data();
    args.keys = args.values = cache.data();
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      args.out = results.emplace_back(q.size()).data();
      Attend(args, pool);
    }
    EXPECT_EQ(results[1], results[0]) << m;
    EXPECT_EQ(results[2], results[0]) << m;
  }
}

TEST_P(AttentionTest, PrefillWithAndWithoutPast) {
  ThreadPool pool(2);
  for (const std::int64_t dim : {1, 5, 32, 64, 80, 100}) {
    Check({.m = 17, .kv_length = 17, .heads = 2, .kv_heads = 1, .head_dim = dim}, pool);
    Check({.m = 61, .kv_length = 300, .heads = 6, .kv_heads = 2, .head_dim = dim}, pool);
  }
  Check({.m = 150, .kv_length = 150, .heads = 3, .kv_heads = 3, .head_dim = 64}, pool);
}

TEST_P(AttentionTest, WindowsAndMasks) {
  ThreadPool pool(3);
  for (const bool mask : {false, true}) {
    for (const std::int64_t window : {1, 7, 128, 1000}) {
      Check({.m = 60,
             .kv_length = 260,
             .heads = 4,
             .kv_heads = 2,
             .head_dim = 32,
             .window = window,
             .mask = mask},
            pool);
      Check({.m = 1,
             .kv_length = 900,
             .heads = 4,
             .kv_heads = 2,
             .head_dim = 32,
             .window = window,
             .mask = mask},
            pool);
    }
    Check({.m = 33,
           .kv_length = 33,
           .heads = 4,
           .kv_heads = 4,
           .head_dim = 32,
           .causal = false,
           .mask = mask},
          pool);
    Check({.m = 200,
           .kv_length = 200,
           .heads = 2,
           .kv_heads = 2,
           .head_dim = 64,
           .causal = false,
           .mask = mask},
          pool);
  }
}

TEST_P(AttentionTest, LargeScoresDoNotOverflow) {
  ThreadPool pool(2);
  Check({.m = 20, .kv_length = 300, .heads = 2, .kv_heads = 2, .head_dim = 64, .query_size = 30.0f},
        pool);
}

// A query that sees nothing gives zeros, next to one that sees something, in one block and over
// split keys.
TEST_P(AttentionTest, QueriesThatSeeNothingGiveZeros) {
  ThreadPool pool(2);
  for (const std::int64_t length : {4, 1200}) {
    for (const std::int64_t m : {1, 20}) {
      constexpr std::int64_t kDim = 16;
      const std::vector<float> data(static_cast<std::size_t>(2 * length * kDim), 1.0f);
      const std::vector<float> q(static_cast<std::size_t>(m * 2 * kDim), 1.0f);
      const std::vector<std::uint8_t> mask(static_cast<std::size_t>(length), 0);
      std::vector<float> out(q.size(), 5.0f);
      AttentionArgs args;
      args.q = q.data();
      args.q_stride = args.out_stride = 2 * kDim;
      args.m = m;
      args.heads = args.kv_heads = 2;
      args.head_dim = kDim;
      args.keys = args.values = data.data();
      args.kv_capacity = args.kv_length = length;
      args.key_mask = mask.data();
      args.causal = false;
      args.out = out.data();
      Attend(args, pool);
      for (const float v : out) ASSERT_EQ(v, 0.0f);
    }
  }
  Check({.m = 8, .kv_length = 3, .heads = 2, .kv_heads = 1, .head_dim = 8}, pool);
  Check({.m = 5, .kv_length = 0, .heads = 2, .kv_heads = 1, .head_dim = 8}, pool);
}

}  // namespace
}  // namespace mdsa::kernels
