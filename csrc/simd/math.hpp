// Elementary functions on vectors. Each comment gives the valid range and the largest error in ULP;
// tests/tolerances.py holds the same numbers (ULP_LIMITS), tests/kernels/test_accuracy.py measures them under every
// ISA. NaN goes through every function; infinities give the limits.
#pragma once

#include "simd/coefficients.hpp"
#include "simd/vector.hpp"

// An instruction set that defines LAMINA_CALLS_MATH has one copy of each function instead of one for each use: for the
// few users of its CPUs they are slower, and the library is smaller.
#ifdef LAMINA_CALLS_MATH
#define LAMINA_MATH [[gnu::noinline]]
#else
#define LAMINA_MATH [[gnu::always_inline]] inline
#endif

namespace lamina::LAMINA_ISA {

template <class T>
struct MathConstants;
template <>
struct MathConstants<float> {
  static constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  static constexpr float kRoundMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float kExpLow = -104.0f, kExpHigh = 89.0f;
  static constexpr float kSubnormalScale = 16777216.0f;  // 2^24
  static constexpr int kSubnormalShift = 24;
  static constexpr float kSmallestNormal = 1.17549435e-38f;
};
template <>
struct MathConstants<double> {
  static constexpr double kLog2E = 1.4426950408889634, kLn2High = 0.6931471803691238, kLn2Low = 1.9082149292705877e-10;
  static constexpr double kRoundMagic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double kExpLow = -746.0, kExpHigh = 710.0;
  static constexpr double kSubnormalScale = 18014398509481984.0;  // 2^54
  static constexpr int kSubnormalShift = 54;
  static constexpr double kSmallestNormal = 2.2250738585072014e-308;
};

// c[0] + c[1] x + ... by Horner's rule.
template <class T, std::size_t N>
[[gnu::always_inline]] inline Vec<T> polynomial(const T (&c)[N], Vec<T> x) {
  Vec<T> sum = broadcast<T>(c[N - 1]);
#pragma GCC unroll 32
  for (std::size_t i = 1; i < N; ++i) sum = fma(sum, x, broadcast<T>(c[N - 1 - i]));
  return sum;
}

template <class T>
[[gnu::always_inline]] inline Vec<T> clamp(Vec<T> x, T low, T high) {
  return minimum(broadcast<T>(high), maximum(broadcast<T>(low), x));
}

// 2^k for integers k within the exponent range of normal numbers.
template <class T>
[[gnu::always_inline]] inline Vec<T> power_of_two(IntVec<T> k) {
  return from_bits<T>((k + VectorTraits<T>::kBias) << VectorTraits<T>::kMantissa);
}

// x = k ln 2 + r with |r| <= ln(2) / 2.
template <class T>
struct Reduced {
  Vec<T> r;
  IntVec<T> k;
};
template <class T>
[[gnu::always_inline]] inline Reduced<T> reduce_by_ln2(Vec<T> x) {
  using C = MathConstants<T>;
  const Vec<T> magic = broadcast<T>(C::kRoundMagic);
  const Vec<T> shifted = fma(x, broadcast<T>(C::kLog2E), magic);
  const Vec<T> n = shifted - magic;
  Vec<T> r = fma(n, broadcast<T>(-C::kLn2High), x);
  r = fma(n, broadcast<T>(-C::kLn2Low), r);
  return {r, bits_of<T>(shifted) - bits_of<T>(magic)};
}

// exp(x). All x; 1.2 ULP, subnormal results included.
template <class T>
LAMINA_MATH Vec<T> exp(Vec<T> x) {
  using C = MathConstants<T>;
  const Reduced<T> a = reduce_by_ln2<T>(clamp<T>(x, C::kExpLow, C::kExpHigh));
  const Vec<T> p = polynomial<T>(coefficients::Table<T>::exp_remainder, a.r);
  const Vec<T> y = fma(p, a.r * a.r, a.r) + T(1);
  const IntVec<T> half = a.k >> 1;
  return y * power_of_two<T>(half) * power_of_two<T>(a.k - half);
}

// exp(x) - 1. All x; 2.5 ULP.
template <class T>
LAMINA_MATH Vec<T> expm1(Vec<T> x) {
  using C = MathConstants<T>;
  const Reduced<T> a = reduce_by_ln2<T>(clamp<T>(x, T(-50), C::kExpHigh));
  const Vec<T> p = fma(polynomial<T>(coefficients::Table<T>::exp_remainder, a.r), a.r * a.r, a.r);
  const Vec<T> half_scale = power_of_two<T>(a.k - 1);
  return T(2) * fma(p, half_scale, half_scale - T(0.5));
}

// log(x). x >= 0, subnormal ones included, log(0) = -inf; NaN for x < 0; 1.5 ULP.
template <class T>
LAMINA_MATH Vec<T> log(Vec<T> x) {
  using C = MathConstants<T>;
  using Bits = typename VectorTraits<T>::Bits;
  const IntVec<T> tiny = x < C::kSmallestNormal;
  const Vec<T> normal = tiny ? x * C::kSubnormalScale : x;
  constexpr T sqrt_half = T(0.70710678118654752440);
  const IntVec<T> shifted = bits_of<T>(normal) - bits_of<T>(broadcast<T>(sqrt_half));
  const IntVec<T> exponent = shifted >> VectorTraits<T>::kMantissa;
  const Vec<T> m = from_bits<T>(bits_of<T>(normal) - (exponent << VectorTraits<T>::kMantissa));
  const Vec<T> k = __builtin_convertvector(exponent - (tiny & Bits(C::kSubnormalShift)), Vec<T>);
  const Vec<T> f = m - T(1);
  const Vec<T> s = f / (f + T(2));
  const Vec<T> z = s * s;
  const Vec<T> r = z * polynomial<T>(coefficients::Table<T>::log_remainder, z);
  const Vec<T> half_square = T(0.5) * f * f;
  const Vec<T> low = fma(s, half_square + r, k * C::kLn2Low);
  const Vec<T> y = fma(k, broadcast<T>(C::kLn2High), f - (half_square - low));
  const Vec<T> infinity = broadcast<T>(T(__builtin_inf()));
  Vec<T> result = x == T(0) ? -infinity : y;
  result = x == infinity ? x : result;
  return x < T(0) ? broadcast<T>(T(__builtin_nan(""))) : (x == x ? result : x);
}

// log(1 + x) for 0 <= x <= 1; 1.5 ULP.
template <class T>
LAMINA_MATH Vec<T> log1p_unit(Vec<T> x) {
  const Vec<T> s = x / (x + T(2));
  const Vec<T> z = s * s;
  const Vec<T> s2 = s + s;
  return fma(s * z, polynomial<T>(coefficients::Table<T>::log1p_remainder, z), s2);
}

// tanh(x) from u = exp(2 (x - r)), a power of two, and t = tanh(r), |r| <= ln(2) / 4:
//
//   tanh(x) = (t (1 + u) - (1 - u)) / ((1 + u) - t (1 - u))
//
// All x; 3 ULP; tanh(-x) = -tanh(x) exactly, and |tanh(x)| <= 1: every operation is symmetric, and rounding is
// monotonic. The result hardly depends on u and r where |x| is large, so x is reduced by a rounded ln(2) / 2 in one
// step. The sum that rounds to an integer k ends with the bits of k + kBias, which, shifted, are the number 2^k.
template <class T>
LAMINA_MATH Vec<T> tanh(Vec<T> x) {
  using C = MathConstants<T>;
  constexpr T half_ln2 = T(0.346573590279972654709), end = T(22);
  const Vec<T> v = clamp<T>(x, -end, end), magic = broadcast<T>(C::kRoundMagic + VectorTraits<T>::kBias);
  const Vec<T> shifted = fma(v, broadcast<T>(2 * C::kLog2E), magic);
  const Vec<T> r = fma(shifted - magic, broadcast<T>(-half_ln2), v), square = r * r;
  const Vec<T> t = r * fma(square, polynomial<T>(coefficients::Table<T>::tanh_remainder, square), broadcast<T>(T(1)));
  const Vec<T> u = from_bits<T>(bits_of<T>(shifted) << VectorTraits<T>::kMantissa), less = T(1) - u, more = T(1) + u;
  return fma(t, more, -less) / fma(-t, less, more);
}

// 1 / (1 + exp(-x)) = u / (u + c exp(r)), where u = c exp(x + r) is a power of two, |r| <= ln(2) / 2, and the power of
// two c makes u a normal number for all x. All x; 2.5 ULP, also where the result is subnormal; at most 1.
template <class T>
LAMINA_MATH Vec<T> sigmoid(Vec<T> x) {
  using C = MathConstants<T>;
  const Vec<T> v = clamp<T>(x, C::kExpLow, T(44)), scale = broadcast<T>(C::kSubnormalScale);
  const Vec<T> magic = broadcast<T>(C::kRoundMagic + (VectorTraits<T>::kBias + C::kSubnormalShift));
  const Vec<T> shifted = fma(v, broadcast<T>(C::kLog2E), magic), n = shifted - magic;
  const Vec<T> r = fma(n, broadcast<T>(C::kLn2Low), Vec<T>(fma(n, broadcast<T>(C::kLn2High), -v)));
  const Vec<T> p = fma(polynomial<T>(coefficients::Table<T>::sigmoid_remainder, r), r * r, r);
  const Vec<T> u = from_bits<T>(bits_of<T>(shifted) << VectorTraits<T>::kMantissa);
  return u / (u + fma(p, scale, scale));
}

// log(1 + exp(x)). All x; 2.5 ULP.
template <class T>
LAMINA_MATH Vec<T> softplus(Vec<T> x) {
  return maximum(Vec<T>{}, x) + log1p_unit<T>(exp<T>(-abs<T>(x)));
}

// t² - square, exactly, where square is t * t rounded.
template <class T>
[[gnu::always_inline]] inline Vec<T> square_error(Vec<T> t, Vec<T> square) {
  if (kFusedMultiplyAdd) return fma(t, t, -square);
  constexpr int dropped = (VectorTraits<T>::kMantissa + 2) / 2;  // so that the square of the rest is exact
  const Vec<T> high = from_bits<T>(bits_of<T>(t) >> dropped << dropped);
  const Vec<T> low = t - high;
  return ((high * high - square) + T(2) * high * low) + low * low;
}

// Φ(x), the standard normal distribution function, and φ(x), its density. Φ keeps its relative
// accuracy in the lower tail: 1 - Φ(t) = exp(-t²/2) P(s) / (t + 3), s = (t - 3) / (t + 3), t = |x|.
// The square is split in two so that exp does not magnify its rounding. All x; 5 ULP.
template <class T>
struct Normal {
  Vec<T> cdf, density;
};
template <class T>
LAMINA_MATH Normal<T> normal_distribution(Vec<T> x) {
  const T end = sizeof(T) == 4 ? T(15) : T(40);
  const Vec<T> t = minimum(broadcast<T>(end), abs<T>(x));
  const Vec<T> square = t * t;
  const Vec<T> rest = square_error<T>(t, square);
  const Vec<T> e = exp<T>(square * T(-0.5));
  const Vec<T> gaussian = fma(e, rest * T(-0.5), e);
  const Vec<T> inverse = T(1) / (t + T(3));
  const Vec<T> s = (t - T(3)) * inverse;
  const Vec<T> tail = gaussian * (polynomial<T>(coefficients::Table<T>::normal_tail, s) * inverse);
  return {x < T(0) ? tail : T(1) - tail, gaussian * T(0.39894228040143267794)};
}

}  // namespace lamina::LAMINA_ISA
