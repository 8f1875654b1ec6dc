// Norms, activations, rotary embedding and reductions in vectors of one target.
#pragma once

#include "kernels/math-inl.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

constexpr int kUnroll = 4;  // accumulators, to hide the latency of additions

// sum over i of value(vector at i); the absent lanes of the last vector are zero.
template <typename Value>
MDSA_INLINE float SumOf(std::int64_t n, const Value& value) {
  VF sums[kUnroll] = {Zero(), Zero(), Zero(), Zero()};
  std::int64_t i = 0;
  for (; i + kUnroll * kLanes <= n; i += kUnroll * kLanes) {
#pragma GCC unroll 4
    for (int u = 0; u < kUnroll; ++u) sums[u] = value(i + u * kLanes, kLanes, sums[u]);
  }
  for (; i + kLanes <= n; i += kLanes) sums[0] = value(i, kLanes, sums[0]);
  if (i < n) sums[1] = value(i, n - i, sums[1]);
  return ReduceAdd(Add(Add(sums[0], sums[1]), Add(sums[2], sums[3])));
}
MDSA_INLINE VF LoadUpTo(const float* p, std::int64_t n) {
  return n >= kLanes ? Load(p) : LoadN(p, n);
}
MDSA_INLINE void StoreUpTo(float* p, VF v, std::int64_t n) {
  if (n >= kLanes) {
    Store(p, v);
  } else {
    StoreN(p, v, n);
  }
}
// f(i, lanes) over [0, n).
template <typename F>
MDSA_INLINE void ForEachVector(std::int64_t n, const F& f) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) f(i, std::int64_t{kLanes});
  if (i < n) f(i, n - i);
}

void RmsNormRows(const float* x, std::int64_t rows, std::int64_t dim, const float* weight,
                 float eps, float* out) {
  for (std::int64_t r = 0; r < rows; ++r, x += dim, out += dim) {
    const float squares = SumOf(dim, [x](std::int64_t i, std::int64_t n, VF sum) {
      const VF v = LoadUpTo(x + i, n);
      return MulAdd(v, v, sum);
    });
    const VF scale = Set1(1.0f / __builtin_sqrtf(squares / static_cast<float>(dim) + eps));
    ForEachVector(dim, [&](std::int64_t i, std::int64_t n) {
      StoreUpTo(out + i, Mul(Mul(LoadUpTo(x + i, n), scale), LoadUpTo(weight + i, n)), n);
    });
  }
}

void LayerNormRows(const float* x, const float* residual, std::int64_t rows, std::int64_t dim,
                   const float* weight, const float* bias, float eps, float* out) {
  const float inverse_dim = 1.0f / static_cast<float>(dim);
  for (std::int64_t r = 0; r < rows; ++r, x += dim, out += dim) {
    const float* added = residual != nullptr ? residual + r * dim : nullptr;
    const float total = SumOf(dim, [&](std::int64_t i, std::int64_t n, VF sum) {
      VF v = LoadUpTo(x + i, n);
      if (added != nullptr) v = Add(v, LoadUpTo(added + i, n));
      StoreUpTo(out + i, v, n);
      return Add(sum, v);
    });
    const VF mean = Set1(total * inverse_dim);
    const float squares = SumOf(dim, [&](std::int64_t i, std::int64_t n, VF sum) {
      VF v = Sub(LoadUpTo(out + i, n), mean);
      if (n < kLanes) {  // the lanes behind the row hold 0 - mean
        float lanes[kLanes] = {};
        StoreN(lanes, v, n);
        v = Load(lanes);
      }
      return MulAdd(v, v, sum);
    });
    const VF scale = Set1(1.0f / __builtin_sqrtf(squares * inverse_dim + eps));
    ForEachVector(dim, [&](std::int64_t i, std::int64_t n) {
      const VF v = Mul(Sub(LoadUpTo(out + i, n), mean), scale);
      StoreUpTo(out + i, MulAdd(v, LoadUpTo(weight + i, n), LoadUpTo(bias + i, n)), n);
    });
  }
}

void AddVectors(float* x, const float* y, std::int64_t n) {
  ForEachVector(n, [&](std::int64_t i, std::int64_t lanes) {
    StoreUpTo(x + i, Add(LoadUpTo(x + i, lanes), LoadUpTo(y + i, lanes)), lanes);
  });
}

template <typename Function>
MDSA_INLINE void MapVectors(float* x, const float* factor, std::int64_t n,
                            const Function& function) {
  ForEachVector(n, [&](std::int64_t i, std::int64_t lanes) {
    VF v = function(LoadUpTo(x + i, lanes));
    if (factor != nullptr) v = Mul(v, LoadUpTo(factor + i, lanes));
    StoreUpTo(x + i, v, lanes);
  });
}

void ActivateVectors(Activation activation, float* x, const float* factor, std::int64_t n) {
  const auto inlined = [&](auto function) { MapVectors(x, factor, n, function); };
  switch (activation) {
    case Activation::kGelu:
      return inlined([](VF v) __attribute__((always_inline)) { return Gelu(v); });
    case Activation::kGeluTanh:
      return inlined([](VF v) __attribute__((always_inline)) { return GeluTanh(v); });
    case Activation::kSilu:
      return inlined([](VF v) __attribute__((always_inline)) { return Silu(v); });
    case Activation::kRelu:
      return inlined([](VF v) __attribute__((always_inline)) { return Relu(v); });
    case Activation::kTanh:
      return inlined([](VF v) __attribute__((always_inline)) { return Tanh(v); });
  }
}

void RopeTokens(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
                std::int64_t x_stride, const float* cos, const float* sin,
                std::int64_t rotary_dim) {
  const std::int64_t half = rotary_dim / 2;
  for (std::int64_t t = 0; t < tokens; ++t, x += x_stride, cos += half, sin += half) {
    for (std::int64_t h = 0; h < heads; ++h) {
      float* first = x + h * head_dim;
      float* second = first + half;
      ForEachVector(half, [&](std::int64_t i, std::int64_t n) {
        const VF c = LoadUpTo(cos + i, n);
        const VF s = LoadUpTo(sin + i, n);
        const VF a = LoadUpTo(first + i, n);
        const VF b = LoadUpTo(second + i, n);
        StoreUpTo(first + i, NegMulAdd(b, s, Mul(a, c)), n);
        StoreUpTo(second + i, MulAdd(a, s, Mul(b, c)), n);
      });
    }
  }
}

// The largest element, NaN aside; -infinity for none.
MDSA_INLINE float MaxOf(const float* x, std::int64_t n) {
  const VF lowest = Set1(-__builtin_inff());
  VF max[kUnroll] = {lowest, lowest, lowest, lowest};
  std::int64_t i = 0;
  for (; i + kUnroll * kLanes <= n; i += kUnroll * kLanes) {
#pragma GCC unroll 4
    for (int u = 0; u < kUnroll; ++u) max[u] = Max(Load(x + i + u * kLanes), max[u]);
  }
  for (; i + kLanes <= n; i += kLanes) max[0] = Max(Load(x + i), max[0]);
  float result = ReduceMax(Max(Max(max[0], max[1]), Max(max[2], max[3])));
  for (; i < n; ++i) {
    if (x[i] > result) result = x[i];
  }
  return result;
}

// x = exp(x - max) in place; returns the sum. Summed in blocks: a vocabulary added up one by one
// would lose two digits.
MDSA_INLINE float ExpAndSum(float* x, std::int64_t n, float max) {
  constexpr std::int64_t kBlock = 32 * kLanes;
  const VF shift = Set1(max);
  VF total = Zero();
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t end = n - begin < kBlock ? n : begin + kBlock;
    VF sum = Zero();
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      const VF e = Exp(Sub(Load(x + i), shift));
      Store(x + i, e);
      sum = Add(sum, e);
    }
    if (i < end) {
      StoreN(x + i, Exp(Sub(LoadN(x + i, end - i), shift)), end - i);
      sum = Add(sum, LoadN(x + i, end - i));
    }
    total = Add(total, sum);
  }
  return ReduceAdd(total);
}

void SoftmaxVector(float* x, std::int64_t n) {
  const float sum = ExpAndSum(x, n, MaxOf(x, n));
  const VF scale = Set1(1.0f / sum);
  ForEachVector(n, [&](std::int64_t i, std::int64_t lanes) {
    StoreUpTo(x + i, Mul(LoadUpTo(x + i, lanes), scale), lanes);
  });
}

std::int64_t ArgMaxVector(const float* x, std::int64_t n) {
  const float max = MaxOf(x, n);
  const VF wanted = Set1(max);
  std::int64_t i = 0;
  while (i + kLanes <= n && !AnyEqual(Load(x + i), wanted)) i += kLanes;
  while (i < n && x[i] != max) ++i;
  return i < n ? i : 0;  // only NaN: the first
}

float L2NormVector(const float* x, std::int64_t n) {
  return __builtin_sqrtf(SumOf(n, [x](std::int64_t i, std::int64_t lanes, VF sum) {
    const VF v = LoadUpTo(x + i, lanes);
    return MulAdd(v, v, sum);
  }));
}

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
