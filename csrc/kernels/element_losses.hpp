// Losses that work on each element alone: value and derivative with respect to the prediction p, given the target t.
#pragma once

#include "kernels/losses.hpp"

namespace lamina::LAMINA_ISA {

// sign(x); 0 at 0, NaN for NaN.
template <class T>
[[gnu::always_inline]] inline Vec<T> sign(Vec<T> x) {
  const Vec<T> one = copy_sign<T>(broadcast<T>(T(1)), x);
  return x == T(0) ? Vec<T>{} : (x == x ? one : x);
}

// (p - t)².
struct SquaredError : MeanOfColumns {
  static constexpr LossInfo info{.name = "mse"};
  static constexpr bool narrow = true;
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T*) {
    const Vec<T> d = p - t;
    return {d * d, d + d};
  }
};

// |p - t|; gradient sign(p - t), 0 at 0.
struct AbsoluteError : MeanOfColumns {
  static constexpr LossInfo info{.name = "mae"};
  static constexpr bool narrow = true;
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T*) {
    const Vec<T> d = p - t;
    return {abs<T>(d), sign<T>(d)};
  }
};

// 100 |t - p| / max(|t|, ε).
struct AbsolutePercentageError : MeanOfColumns {
  static constexpr LossInfo info{.name = "mape"};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T*) {
    const Vec<T> d = p - t, scale = T(100) / maximum(broadcast<T>(kEpsilon<T>), abs<T>(t));
    return {abs<T>(d) * scale, sign<T>(d) * scale};
  }
};

// (log(1 + max(p, ε)) - log(1 + max(t, ε)))². If the two are close, the size of the difference is computed as
// log(1 + |p - t| / (1 + the smaller)).
struct SquaredLogarithmicError : MeanOfColumns {
  static constexpr LossInfo info{.name = "msle"};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T*) {
    const Vec<T> least = broadcast<T>(kEpsilon<T>), given = maximum(least, p), wanted = maximum(least, t);
    const Vec<T> above = given + T(1), apart = given - wanted;
    const Vec<T> share = abs<T>(apart) / (minimum(given, wanted) + T(1));
    const Vec<T> close = copy_sign<T>(log1p_unit<T>(minimum(broadcast<T>(T(1)), share)), apart);
    const Vec<T> d = share < T(1) ? close : log<T>(above) - log<T>(wanted + T(1));
    return {d * d, unless_nan<T>(p, p > least ? T(2) * d / above : Vec<T>{})};
  }
};

// With e = p - t: e² / 2 for |e| <= δ, else δ |e| - δ² / 2. Huber 1964.
struct Huber : MeanOfColumns {
  static constexpr LossInfo info{.name = "huber", .parameters = "delta", .default_parameter = 1};
  static constexpr bool often = true;
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T* parameters) {
    const T delta = parameters[0];
    const Vec<T> e = p - t, size = abs<T>(e);
    const Vec<T> linear = delta * (size - T(0.5) * delta);
    return {unless_nan<T>(e, size <= delta ? T(0.5) * e * e : linear),
            unless_nan<T>(e, size <= delta ? e : sign<T>(e) * delta)};
  }
};

// With e = p - t: log(cosh(e)) = |e| + log(1 + exp(-2 |e|)) - log 2, or log(1 + tanh²(e) / (1 - tanh²(e))) / 2 if e is
// small; derivative tanh(e).
struct LogCosh : MeanOfColumns {
  static constexpr LossInfo info{.name = "log_cosh"};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T*) {
    const Vec<T> e = p - t, size = abs<T>(e), slope = tanh<T>(e), square = slope * slope;
    const Vec<T> large = size + log1p_unit<T>(exp<T>(T(-2) * size)) - T(0.6931471805599453);
    const Vec<T> small = T(0.5) * log1p_unit<T>(minimum(broadcast<T>(T(1)), Vec<T>(square / (T(1) - square))));
    return {size < T(0.5) ? small : large, slope};
  }
};

// p - t log(p + ε).
struct Poisson : MeanOfColumns {
  static constexpr LossInfo info{.name = "poisson"};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T*) {
    const Vec<T> above = p + kEpsilon<T>;
    return {p - t * log<T>(above), ((p - t) + kEpsilon<T>) / above};
  }
};

// p - t + t log(t / p), with 0 log 0 = 0: half the deviance of Poisson's distribution.
template <class T>
[[gnu::always_inline]] inline Vec<T> half_deviance(Vec<T> p, Vec<T> log_p, Vec<T> t) {
  return (p - t) + (t == T(0) ? Vec<T>{} : t * (log<T>(t) - log_p));
}

struct PoissonDeviance : MeanOfColumns {
  static constexpr LossInfo info{.name = "poisson_deviance"};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T*) {
    return {half_deviance<T>(p, log<T>(p), t), (p - t) / p};
  }
};

// The same for p = exp(z); derivative p - t with respect to z.
struct LogPoissonDeviance : MeanOfColumns {
  static constexpr LossInfo info{.name = "log_poisson_deviance"};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> z, Vec<T> t, const T*) {
    const Vec<T> p = exp<T>(z);
    return {half_deviance<T>(p, z, t), p - t};
  }
};

// t log(t / p), with t and p clamped to [ε, 1]; the loss of a row is the sum over its columns.
struct KullbackLeibler {
  static constexpr bool sums = true;
  static constexpr LossInfo info{.name = "kl_divergence"};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T*) {
    const Vec<T> target = clamp<T>(t, kEpsilon<T>, T(1)), q = clamp<T>(p, kEpsilon<T>, T(1));
    return {target * log<T>(target / q), unless_nan<T>(p, q == p ? -target / q : Vec<T>{})};
  }
};

// max(1 - t p, 0), for targets -1 and 1.
struct Hinge : MeanOfColumns {
  static constexpr LossInfo info{.name = "hinge"};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T*) {
    const Vec<T> short_of = T(1) - t * p;
    return {maximum(Vec<T>{}, short_of), unless_nan<T>(short_of, short_of > T(0) ? -t : Vec<T>{})};
  }
};

// max(1 - t p, 0)².
struct SquaredHinge : MeanOfColumns {
  static constexpr LossInfo info{.name = "squared_hinge"};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T*) {
    const Vec<T> short_of = maximum(Vec<T>{}, T(1) - t * p);
    return {short_of * short_of, T(-2) * short_of * t};
  }
};

// With e = t - p: q e for e >= 0, (q - 1) e else; its minimum is the q-quantile, with a q of its own for each column
// if wanted. Koenker & Bassett 1978.
struct Quantile : MeanOfColumns {
  static constexpr LossInfo info{
      .name = "quantile", .parameters = "quantile", .default_parameter = 0.5, .by_column = true};
  template <class T>
  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, Vec<T> q) {
    const Vec<T> e = t - p;
    const Vec<T> slope = e > T(0) ? -q : (e < T(0) ? T(1) - q : e);
    return {maximum(Vec<T>(q * e), Vec<T>((q - T(1)) * e)), slope};
  }
};

}  // namespace lamina::LAMINA_ISA
