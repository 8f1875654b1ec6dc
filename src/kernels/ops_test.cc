// Every target against the definitions in double precision.
#include "kernels/ops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/target_test_util.h"

namespace mdsa::kernels {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> Random(std::size_t n, unsigned seed, float deviation = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

class OpsTest : public TargetTest {};
MDSA_INSTANTIATE_FOR_TARGETS(OpsTest);

TEST_P(OpsTest, RmsNorm) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (const std::size_t dim : {1u, 3u, 16u, 65u, 576u, 2048u}) {
      for (const std::size_t rows : {0u, 1u, 5u, 67u}) {
        const std::vector<float> x = Random(rows * dim, 1);
        const std::vector<float> weight = Random(dim, 2);
        std::vector<float> out(rows * dim);
        RmsNorm(x.data(), static_cast<std::int64_t>(rows), static_cast<std::int64_t>(dim),
                weight.data(), 1e-5f, out.data(), pool);
        std::vector<float> in_place = x;
        RmsNorm(in_place.data(), static_cast<std::int64_t>(rows), static_cast<std::int64_t>(dim),
                weight.data(), 1e-5f, in_place.data(), pool);
        EXPECT_EQ(out, in_place);
        for (std::size_t r = 0; r < rows; ++r) {
          double squares = 0.0;
          for (std::size_t i = 0; i < dim; ++i) {
            squares += static_cast<double>(x[r * dim + i]) * static_cast<double>(x[r * dim + i]);
          }
          const double scale = 1.0 / std::sqrt(squares / static_cast<double>(dim) + 1e-5);
          for (std::size_t i = 0; i < dim; ++i) {
            const double want =
                static_cast<double>(x[r * dim + i]) * scale * static_cast<double>(weight[i]);
            ASSERT_NEAR(static_cast<double>(out[r * dim + i]), want, 1e-6 * std::abs(want) + 1e-12);
          }
        }
      }
    }
  }
}

TEST_P(OpsTest, LayerNormWithAndWithoutResidual) {
  ThreadPool pool(2);
  for (const std::size_t dim : {1u, 5u, 16u, 77u, 384u, 1000u}) {
    for (const bool with_residual : {false, true}) {
      const std::size_t rows = 41;
      const std::vector<float> x = Random(rows * dim, 1, 2.0f);
      const std::vector<float> residual = Random(rows * dim, 5);
      const std::vector<float> weight = Random(dim, 2);
      const std::vector<float> bias = Random(dim, 3);
      std::vector<float> out = x;
      LayerNorm(out.data(), with_residual ? residual.data() : nullptr,
                static_cast<std::int64_t>(rows), static_cast<std::int64_t>(dim), weight.data(),
                bias.data(), 1e-12f, out.data(), pool);
      for (std::size_t r = 0; r < rows; ++r) {
        const auto at = [&](std::size_t i) {
          const std::size_t j = r * dim + i;
          return static_cast<double>(x[j]) +
                 (with_residual ? static_cast<double>(residual[j]) : 0.0);
        };
        double mean = 0.0;
        for (std::size_t i = 0; i < dim; ++i) mean += at(i) / static_cast<double>(dim);
        double variance = 0.0;
        for (std::size_t i = 0; i < dim; ++i) {
          variance += (at(i) - mean) * (at(i) - mean) / static_cast<double>(dim);
        }
        for (std::size_t i = 0; i < dim && dim > 1; ++i) {
          const double want =
              (at(i) - mean) / std::sqrt(variance + 1e-12) * static_cast<double>(weight[i]) +
              static_cast<double>(bias[i]);
          ASSERT_NEAR(static_cast<double>(out[r * dim + i]), want, 2e-5) << dim << " " << i;
        }
      }
    }
  }
}

double Exact(Activation activation, double x) {
  switch (activation) {
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh:
      return x / (1.0 + std::exp(-2.0 * std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kRelu:
      return x < 0.0 ? 0.0 : x;
    case Activation::kTanh:
      return std::tanh(x);
  }
  return 0.0;
}

TEST_P(OpsTest, ActivationsAreWithinAMillionth) {
  ThreadPool pool(2);
  for (const Activation activation : {Activation::kGelu, Activation::kGeluTanh, Activation::kSilu,
                                      Activation::kRelu, Activation::kTanh}) {
    std::vector<float> x;
    for (int i = -60000; i <= 60000; ++i) x.push_back(static_cast<float>(i) * 0.00037f);
    for (const float v : {1e-20f, -1e-20f, 1e-6f, 90.0f, -90.0f, 1e30f, -1e30f, 0.0f, -0.0f}) {
      x.push_back(v);
    }
    std::vector<float> y = x;
    Activate(activation, y.data(), static_cast<std::int64_t>(y.size()), pool);
    double worst = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = Exact(activation, static_cast<double>(x[i]));
      if (std::abs(want) <= 1e-30) {
        ASSERT_NEAR(static_cast<double>(y[i]), want, 1e-29) << x[i];
        continue;
      }
      const double error = std::abs(static_cast<double>(y[i]) / want - 1.0);
      ASSERT_LT(error, 1e-6) << static_cast<int>(activation) << " of " << x[i];
      worst = std::max(worst, error);
    }
    RecordProperty("worst" + std::to_string(static_cast<int>(activation)), std::to_string(worst));
  }
}

TEST_P(OpsTest, ActivationsPropagateNan) {
  ThreadPool pool(1);
  for (const Activation activation : {Activation::kGelu, Activation::kGeluTanh, Activation::kSilu,
                                      Activation::kRelu, Activation::kTanh}) {
    std::vector<float> x(37, kNan);
    Activate(activation, x.data(), 37, pool);
    for (const float v : x) EXPECT_TRUE(std::isnan(v)) << static_cast<int>(activation);
  }
}

TEST_P(OpsTest, ActivateAndMultiplyOfAnyLength) {
  ThreadPool pool(3);
  for (const std::size_t n : {0u, 1u, 7u, 33u, 30001u}) {
    std::vector<float> gate = Random(n, 1, 3.0f);
    const std::vector<float> before = gate;
    const std::vector<float> up = Random(n, 2);
    ActivateAndMultiply(Activation::kSilu, gate.data(), up.data(), static_cast<std::int64_t>(n),
                        pool);
    for (std::size_t i = 0; i < n; ++i) {
      const double want =
          Exact(Activation::kSilu, static_cast<double>(before[i])) * static_cast<double>(up[i]);
      ASSERT_NEAR(static_cast<double>(gate[i]), want, 2e-6 * std::abs(want));
    }
  }
}

TEST_P(OpsTest, RopeRotatesPairsAndLeavesTheRest) {
  ThreadPool pool(2);
  struct Shape {
    std::size_t tokens, heads, head_dim, rotary;
  };
  for (const Shape s : {Shape{1, 1, 2, 2}, Shape{3, 2, 64, 64}, Shape{70, 9, 64, 32},
                        Shape{5, 3, 80, 20}, Shape{4, 2, 10, 6}}) {
    const std::size_t stride = s.heads * s.head_dim + 3;
    const std::size_t half = s.rotary / 2;
    std::vector<float> x = Random(s.tokens * stride, 1);
    const std::vector<float> before = x;
    const std::vector<float> cos = Random(s.tokens * half, 2);
    const std::vector<float> sin = Random(s.tokens * half, 3);
    Rope(x.data(), static_cast<std::int64_t>(s.tokens), static_cast<std::int64_t>(s.heads),
         static_cast<std::int64_t>(s.head_dim), static_cast<std::int64_t>(stride), cos.data(),
         sin.data(), static_cast<std::int64_t>(s.rotary), pool);
    std::vector<float> want = before;
    for (std::size_t t = 0; t < s.tokens; ++t) {
      for (std::size_t h = 0; h < s.heads; ++h) {
        for (std::size_t i = 0; i < half; ++i) {
          const std::size_t a = t * stride + h * s.head_dim + i;
          const std::size_t b = a + half;
          const float c = cos[t * half + i];
          const float n = sin[t * half + i];
          want[a] = before[a] * c - before[b] * n;
          want[b] = before[b] * c + before[a] * n;
        }
      }
    }
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], want[i], 2e-6f) << i;
  }
}

TEST_P(OpsTest, AddSoftmaxAndNorm) {
  for (const std::size_t n : {1u, 2u, 15u, 16u, 17u, 1000u, 49152u}) {
    const std::vector<float> x = Random(n, 1, 5.0f);
    const std::vector<float> y = Random(n, 2);
    std::vector<float> sum = x;
    AddInPlace(sum.data(), y.data(), static_cast<std::int64_t>(n));
    double squares = 0.0;
    double max = -1e30;
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(sum[i], x[i] + y[i]);
      squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
      max = std::max(max, static_cast<double>(x[i]));
    }
    EXPECT_NEAR(L2Norm(x.data(), static_cast<std::int64_t>(n)) / std::sqrt(squares), 1.0, 1e-6);
    double total = 0.0;
    for (const float v : x) total += std::exp(static_cast<double>(v) - max);
    std::vector<float> soft = x;
    Softmax(soft.data(), static_cast<std::int64_t>(n));
    for (std::size_t i = 0; i < n; ++i) {
      const double want = std::exp(static_cast<double>(x[i]) - max) / total;
      ASSERT_NEAR(static_cast<double>(soft[i]), want, 3e-6 * want + 1e-37);
    }
  }
}

TEST_P(OpsTest, SoftmaxOfExtremes) {
  std::vector<float> x(40, -kInfinity);
  x[3] = x[39] = 3e38f;
  x[17] = -3e38f;
  Softmax(x.data(), 40);
  for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(x[i], i == 3 || i == 39 ? 0.5f : 0.0f);
}

TEST_P(OpsTest, ArgMaxTakesTheFirstOfEqualsAndNeverNan) {
  for (const std::size_t n : {1u, 5u, 16u, 31u, 64u, 257u}) {
    const auto size = static_cast<std::int64_t>(n);
    for (std::size_t at = 0; at < n; ++at) {
      std::vector<float> x(n, -1.0f);
      x[at] = 2.0f;
      x[n - 1] = 2.0f;
      EXPECT_EQ(ArgMax(x.data(), size), static_cast<std::int64_t>(at));
      std::vector<float> holes(n, kNan);
      holes[at] = -5.0f;
      EXPECT_EQ(ArgMax(holes.data(), size), static_cast<std::int64_t>(at));
      std::vector<float> lowest(n, kNan);
      lowest[at] = -kInfinity;
      EXPECT_EQ(ArgMax(lowest.data(), size), static_cast<std::int64_t>(at));
    }
    const std::vector<float> none(n, kNan);
    EXPECT_EQ(ArgMax(none.data(), size), 0);
  }
}

}  // namespace
}  // namespace mdsa::kernels
