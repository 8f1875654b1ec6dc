// Elementary functions in vectors of one target, relative error below 1e-6.
#pragma once

#include "kernels/ops_kernels.h"

namespace mdsa::kernels {
namespace MDSA_TARGET_NAMESPACE {
namespace {

template <std::size_t kCount>
MDSA_INLINE VF Polynomial(VF x, const float (&coefficients)[kCount]) {
  VF y = Set1(coefficients[kCount - 1]);
#pragma GCC unroll 16
  for (int i = static_cast<int>(kCount) - 2; i >= 0; --i) y = MulAdd(y, x, Set1(coefficients[i]));
  return y;
}

// Reduction to [-ln 2 / 2, ln 2 / 2] with ln 2 in two parts, then the exponential series fitted to
// that interval (Cephes expf). 0 below -104, infinity above 88.73, NaN for NaN.
MDSA_INLINE VF Exp(VF x) {
  x = Min(Set1(89.0f), Max(Set1(-105.0f), x));
  const VF n = Round(Mul(x, Set1(1.44269504088896341f)));
  VF r = NegMulAdd(n, Set1(0.693359375f), x);
  r = NegMulAdd(n, Set1(-2.12194440e-4f), r);
  constexpr float kSeries[] = {5.0000001201e-1f, 1.6666665459e-1f, 4.1665795894e-2f,
                               8.3334519073e-3f, 1.3981999507e-3f, 1.9875691500e-4f};
  const VF tail = MulAdd(Mul(r, r), Polynomial(r, kSeries), r);
  return ScaleByPowerOf2(Add(tail, Set1(1.0f)), n);
}

// x * Phi(x), Phi the normal distribution function. Phi(-a) = exp(-a^2 / 2) q(a) for a >= 0, where
// q is smooth; its fit is a polynomial in (a - 4) / (a + 4) over [0, 14], relative error 2.3e-7.
// The rounding error of a^2 is carried along: in the tail it would be multiplied by a^2.
MDSA_INLINE VF Gelu(VF x) {
  constexpr float kFit[] = {0.094410643f,     -0.170397744f,   0.124379218f,    -0.0717067868f,
                            0.0308652595f,    -0.0084976824f,  0.000503674441f, 0.000657714438f,
                            -0.000169599312f, -6.63033206e-05f};
  const VF a = Min(Abs(x), Set1(14.0f));
  const VF t = Mul(Sub(a, Set1(4.0f)), Reciprocal(Add(a, Set1(4.0f))));
  const VF square = Mul(a, a);
  const VF error = MulError(a, a, square);
  const VF half = Set1(-0.5f);
  const VF gauss = Exp(Mul(square, half));
  VF lower = Mul(gauss, Polynomial(t, kFit));
  lower = MulAdd(lower, Mul(error, half), lower);
  lower = Select(Less(Set1(13.9f), a), Zero(), lower);  // x may be as large as it likes
  const VF phi = Select(Less(x, Zero()), lower, Sub(Set1(1.0f), lower));
  return Mul(x, phi);
}

// x / (1 + exp(-2 u)) with u = sqrt(2 / pi) (x + 0.044715 x^3). For negative x the exponent is
// large, so 2 u = x (c1 + c3 x^2) is formed in two floats.
MDSA_INLINE VF GeluTanh(VF x) {
  constexpr float kC1 = 1.5957691216057308f;
  constexpr float kC1Low = static_cast<float>(1.5957691216057308 - static_cast<double>(kC1));
  constexpr float kC3 = 0.071354816272600263f;
  constexpr float kC3Low = static_cast<float>(0.071354816272600263 - static_cast<double>(kC3));
  // Beyond, the result is 0 or x; the bounds keep the error terms finite.
  const VF v = Min(Set1(12.0f), Max(Set1(-12.0f), x));
  const VF square = Mul(v, v);
  const VF square_low = MulError(v, v, square);
  const VF cube = Mul(Set1(kC3), square);
  const VF cube_low = MulAdd(Set1(kC3), square_low,
                             MulAdd(Set1(kC3Low), square, MulError(Set1(kC3), square, cube)));
  const VF sum = Add(Set1(kC1), cube);
  const VF virtual_cube = Sub(sum, Set1(kC1));
  const VF sum_error = Add(Sub(Set1(kC1), Sub(sum, virtual_cube)), Sub(cube, virtual_cube));
  const VF sum_low = Add(Add(sum_error, cube_low), Set1(kC1Low));
  const VF exponent = Mul(v, sum);
  const VF exponent_low = MulAdd(v, sum_low, MulError(v, sum, exponent));
  // exp(-2 u) overflows where the quotient is below 1e-38 anyway.
  const VF e = Mul(Exp(Sub(Zero(), exponent)), Sub(Set1(1.0f), exponent_low));
  return Div(x, Add(Set1(1.0f), e));
}

MDSA_INLINE VF Silu(VF x) { return Div(x, Add(Set1(1.0f), Exp(Sub(Zero(), x)))); }

// By the exponential, and by the odd series of tanh (Cephes tanhf) where that would cancel.
MDSA_INLINE VF Tanh(VF x) {
  constexpr float kSeries[] = {-3.33332819422e-1f, 1.33314422036e-1f, -5.37397155531e-2f,
                               2.06390887954e-2f, -5.70498872745e-3f};
  const VF a = Abs(x);
  const VF square = Mul(x, x);
  const VF small = MulAdd(Mul(x, square), Polynomial(square, kSeries), x);
  const VF large = Sub(Set1(1.0f), Div(Set1(2.0f), Add(Exp(Add(a, a)), Set1(1.0f))));
  const VF negative = Sub(Zero(), large);
  return Select(Less(a, Set1(0.625f)), small, Select(Less(x, Zero()), negative, large));
}

MDSA_INLINE VF Relu(VF x) { return Select(Less(x, Zero()), Zero(), x); }

}  // namespace
}  // namespace MDSA_TARGET_NAMESPACE
}  // namespace mdsa::kernels
