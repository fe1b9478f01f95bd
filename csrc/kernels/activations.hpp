// Activations that work on each element alone. Each is a struct with its name, what its derivative is computed from,
// and both directions. To add one: write the struct, add it to ElementActivations (table.hpp).
//
// In backward, v is the output y or the input x (info.derivative_of), and dy is dL/dy. A NaN in v gives NaN, and so
// does a NaN in dy unless the derivative is 0. A source is given if the formula has one beyond its name.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/parallel.hpp"
#include "simd/math.hpp"

namespace lamina::LAMINA_ISA {

// `result`, but NaN if v is NaN: a comparison may have lost it.
template <class T>
[[gnu::always_inline]] inline Vec<T> unless_nan(Vec<T> v, Vec<T> result) {
  return v == v ? result : v;
}

template <class T>
constexpr T kLowest = sizeof(T) == 4 ? T(-3.402823466e38) : T(-1.7976931348623157e308);

// f(x) = x.
struct Linear {
  static constexpr ActivationInfo info{.name = "linear"};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return x;
  }
  template <class T>
  static Vec<T> backward(Vec<T>, Vec<T> dy, T) {
    return dy;
  }
};

// f(x) = max(x, 0); f'(0) = 0.
struct Relu {
  static constexpr ActivationInfo info{.name = "relu"};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return maximum(Vec<T>{}, x);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    return unless_nan<T>(v, v > T(0) ? dy : Vec<T>{});
  }
};

// f(x) = x for x > 0, alpha x otherwise; alpha >= 0.
struct LeakyRelu {
  static constexpr ActivationInfo info{.name = "leaky_relu", .has_alpha = true, .default_alpha = 0.2};
  template <class T>
  static Vec<T> forward(Vec<T> x, T alpha) {
    return x > T(0) ? x : x * alpha;
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T alpha) {
    return unless_nan<T>(v, v > T(0) ? dy : dy * alpha);
  }
};

// f(x) = min(max(x, 0), 6); f' = 1 strictly between 0 and 6.
struct Relu6 {
  static constexpr ActivationInfo info{.name = "relu6"};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return clamp<T>(x, T(0), T(6));
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    const Vec<T> above_zero = v > T(0) ? dy : Vec<T>{};
    return unless_nan<T>(v, v < T(6) ? above_zero : Vec<T>{});
  }
};

// f(x) = x for x > 0, alpha (exp(x) - 1) otherwise; alpha >= 0. Clevert et al. 2016.
struct Elu {
  static constexpr ActivationInfo info{.name = "elu", .has_alpha = true, .default_alpha = 1.0};
  template <class T>
  static Vec<T> forward(Vec<T> x, T alpha) {
    return x > T(0) ? x : alpha * expm1<T>(x);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T alpha) {
    return v > T(0) ? dy : dy * (v + alpha);
  }
};

// f(x) = scale (x for x > 0, alpha (exp(x) - 1) otherwise). Klambauer et al. 2017, eq. 2.
struct Selu {
  static constexpr ActivationInfo info{.name = "selu"};
  template <class T>
  static constexpr T kScale = T(1.0507009873554804934);
  template <class T>
  static constexpr T kScaleAlpha = T(1.7580993408473768600);
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return x > T(0) ? kScale<T> * x : kScaleAlpha<T> * expm1<T>(x);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    return dy * (v > T(0) ? broadcast<T>(kScale<T>) : v + kScaleAlpha<T>);
  }
};

// f(x) = x Φ(x), f' = Φ(x) + x φ(x). Hendrycks & Gimpel 2016.
struct Gelu {
  static constexpr ActivationInfo info{.name = "gelu", .derivative_of = DerivativeOf::input};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return maximum(broadcast<T>(kLowest<T>), x) * normal_distribution<T>(x).cdf;
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    const Normal<T> normal = normal_distribution<T>(v);
    return dy * fma(clamp<T>(v, -T(100), T(100)), normal.density, normal.cdf);
  }
};

// f(x) = x (1 + tanh(u)) / 2 = x sigmoid(2u), u = sqrt(2/π) (x + 0.044715 x³). Hendrycks & Gimpel 2016.
struct GeluTanh {
  static constexpr ActivationInfo info{.name = "gelu_tanh", .derivative_of = DerivativeOf::input};
  template <class T>
  static constexpr T kLinear = T(1.5957691216057307117);  // 2 sqrt(2/π)
  template <class T>
  static constexpr T kCubic = T(0.071354816272600250);  // 2 sqrt(2/π) 0.044715
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    const Vec<T> finite = maximum(broadcast<T>(kLowest<T>), x);
    const Vec<T> near = clamp<T>(x, T(-100), T(100));
    return finite * sigmoid<T>(near * fma(near * near, broadcast<T>(kCubic<T>), broadcast<T>(kLinear<T>)));
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    const Vec<T> x = clamp<T>(v, T(-100), T(100));
    const Vec<T> square = x * x;
    const Vec<T> s = sigmoid<T>(x * fma(square, broadcast<T>(kCubic<T>), broadcast<T>(kLinear<T>)));
    const Vec<T> slope = fma(square, broadcast<T>(T(3) * kCubic<T>), broadcast<T>(kLinear<T>));
    return dy * fma(x * slope, s * (T(1) - s), s);
  }
};

// f(x) = x sigmoid(x), f' = s + x s (1 - s).
struct Silu {
  static constexpr ActivationInfo info{.name = "silu", .derivative_of = DerivativeOf::input};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return maximum(broadcast<T>(kLowest<T>), x) * sigmoid<T>(x);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    const Vec<T> s = sigmoid<T>(v);
    return dy * fma(clamp<T>(v, T(-1e4), T(1e4)), s * sigmoid<T>(-v), s);
  }
};

// f(x) = 1 / (1 + exp(-x)), f' = y (1 - y).
struct Sigmoid {
  static constexpr ActivationInfo info{.name = "sigmoid"};
  static constexpr int together = 4;
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return sigmoid<T>(x);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    return dy * (v * (T(1) - v));
  }
};

// f(x) = relu6(x + 3) / 6, as Keras 3.
struct HardSigmoid {
  static constexpr ActivationInfo info{.name = "hard_sigmoid"};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return clamp<T>(x + T(3), T(0), T(6)) / T(6);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    const Vec<T> above_zero = v > T(0) ? dy / T(6) : Vec<T>{};
    return unless_nan<T>(v, v < T(1) ? above_zero : Vec<T>{});
  }
};

// f' = 1 - y².
struct Tanh {
  static constexpr ActivationInfo info{.name = "tanh"};
  static constexpr int together = 2;
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return tanh<T>(x);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    return dy * ((T(1) - v) * (T(1) + v));
  }
};

// f(x) = log(1 + exp(x)), f' = sigmoid(x) = 1 - exp(-y).
struct Softplus {
  static constexpr ActivationInfo info{.name = "softplus"};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return softplus<T>(x);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    return dy * -expm1<T>(-v);
  }
};

// f(x) = x / (1 + |x|), f' = (1 - |y|)².
struct Softsign {
  static constexpr ActivationInfo info{.name = "softsign"};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    const Vec<T> finite = clamp<T>(x, kLowest<T>, -kLowest<T>);
    return finite / (T(1) + abs<T>(finite));
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    const Vec<T> rest = T(1) - abs<T>(v);
    return dy * (rest * rest);
  }
};

// f(x) = exp(x) = f'.
struct Exponential {
  static constexpr ActivationInfo info{.name = "exponential"};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return exp<T>(x);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    return dy * v;
  }
};

// f(x) = x tanh(softplus(x)). Misra 2019. With w = exp(-|x|), tanh(softplus(x)) is the quotient
// (1 + 2w) / (1 + 2w + 2w²) for x >= 0 and (w² + 2w) / (w² + 2w + 2) for x < 0, and
// f' = quotient + 4x (1 + w) (w² or w) / denominator².
struct Mish {
  static constexpr ActivationInfo info{.name = "mish", .derivative_of = DerivativeOf::input};
  template <class T>
  struct Parts {
    Vec<T> w, factor, numerator, denominator;  // factor: w² for x >= 0, w for x < 0
  };
  template <class T>
  static Parts<T> parts(Vec<T> x) {
    const Vec<T> w = exp<T>(-abs<T>(x));
    const IntVec<T> negative = x < T(0);
    const Vec<T> numerator = negative ? w * (w + T(2)) : w * T(2) + T(1);
    const Vec<T> denominator = numerator + (negative ? broadcast<T>(T(2)) : T(2) * w * w);
    return {w, negative ? w : w * w, numerator, denominator};
  }
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    const Parts<T> p = parts<T>(x);
    return maximum(broadcast<T>(kLowest<T>), x) * (p.numerator / p.denominator);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    const Parts<T> p = parts<T>(v);
    const Vec<T> x = clamp<T>(v, T(-1e4), T(1e4));
    const Vec<T> bend = T(4) * x * (T(1) + p.w) * p.factor / (p.denominator * p.denominator);
    return dy * (p.numerator / p.denominator + bend);
  }
};

// f(x) = x for x > 0, alpha (exp(x / alpha) - 1) otherwise; alpha > 0. Barron 2017.
struct Celu {
  static constexpr ActivationInfo info{.name = "celu", .has_alpha = true, .default_alpha = 1.0};
  template <class T>
  static Vec<T> forward(Vec<T> x, T alpha) {
    return x > T(0) ? x : alpha * expm1<T>(x / alpha);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T alpha) {
    return v > T(0) ? dy : dy * (v / alpha + T(1));
  }
};

// f(x) = min(max(x, -1), 1); f' = 1 strictly between -1 and 1.
struct HardTanh {
  static constexpr ActivationInfo info{.name = "hard_tanh"};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return clamp<T>(x, T(-1), T(1));
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    return unless_nan<T>(v, abs<T>(v) < T(1) ? dy : Vec<T>{});
  }
};

// f(x) = x relu6(x + 3) / 6. Howard et al. 2019.
struct HardSilu {
  static constexpr ActivationInfo info{.name = "hard_silu", .derivative_of = DerivativeOf::input};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return maximum(broadcast<T>(kLowest<T>), x) * (clamp<T>(x + T(3), T(0), T(6)) / T(6));
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    const Vec<T> inner = v < T(3) ? (T(2) * v + T(3)) / T(6) : broadcast<T>(T(1));
    return unless_nan<T>(v, v > T(-3) ? dy * inner : Vec<T>{});
  }
};

// f(x) = log(sigmoid(x)) = -softplus(-x), f' = 1 - exp(y).
struct LogSigmoid {
  static constexpr ActivationInfo info{.name = "log_sigmoid"};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return -softplus<T>(-x);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    return dy * -expm1<T>(v);
  }
};

// f(x) = x - alpha for x > alpha, x + alpha for x < -alpha, 0 between; alpha >= 0.
struct SoftShrink {
  static constexpr ActivationInfo info{.name = "soft_shrink", .has_alpha = true, .default_alpha = 0.5};
  template <class T>
  static Vec<T> forward(Vec<T> x, T alpha) {
    return unless_nan<T>(x, x > alpha ? x - alpha : (x < -alpha ? x + alpha : Vec<T>{}));
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    return unless_nan<T>(v, v == T(0) ? Vec<T>{} : dy);
  }
};

// f(x) = x for |x| > alpha, else 0; alpha >= 0.
struct HardShrink {
  static constexpr ActivationInfo info{.name = "hard_shrink", .has_alpha = true, .default_alpha = 0.5};
  template <class T>
  static Vec<T> forward(Vec<T> x, T alpha) {
    return unless_nan<T>(x, abs<T>(x) > alpha ? x : Vec<T>{});
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    return unless_nan<T>(v, v == T(0) ? Vec<T>{} : dy);
  }
};

// f(x) = x - tanh(x), near 0 by its series x³ (1/3 - 2/15 x² + 17/315 x⁴ - …); f' = tanh(x)².
struct TanhShrink {
  static constexpr ActivationInfo info{.name = "tanh_shrink", .derivative_of = DerivativeOf::input};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    constexpr double series[] = {1.0 / 3,
                                 -2.0 / 15,
                                 17.0 / 315,
                                 -62.0 / 2835,
                                 1382.0 / 155925,
                                 -21844.0 / 6081075,
                                 929569.0 / 638512875,
                                 -6404582.0 / 10854718875,
                                 443861162.0 / 1856156927625};
    const Vec<T> square = x * x;
    Vec<T> sum = broadcast<T>(static_cast<T>(series[8]));
#pragma GCC unroll 8
    for (int i = 7; i >= 0; --i) sum = fma(sum, square, broadcast<T>(static_cast<T>(series[i])));
    return abs<T>(x) < T(0.25) ? sum * square * x : x - tanh<T>(x);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    const Vec<T> t = tanh<T>(v);
    return dy * (t * t);
  }
};

// f(x) = (x + √(x² + alpha)) / 2, f' = (1 + x / √(x² + alpha)) / 2. Barron 2021.
struct Squareplus {
  static constexpr ActivationInfo info{
      .name = "squareplus", .derivative_of = DerivativeOf::input, .has_alpha = true, .default_alpha = 4.0};
  // √(x² + alpha), also if x² overflows.
  template <class T>
  static Vec<T> length(Vec<T> x, T alpha) {
    const Vec<T> root = sqrt(Vec<T>(fma(x, x, broadcast<T>(alpha)))), size = abs<T>(x);
    return size > (sizeof(T) == 4 ? T(1e18) : T(1e150)) ? size : root;
  }
  template <class T>
  static Vec<T> forward(Vec<T> x, T alpha) {
    // For x < 0 the same value without cancellation: alpha / 2 / (√(x² + alpha) - x).
    const Vec<T> root = length<T>(x, alpha);
    return x > T(0) ? T(0.5) * (x + root) : T(0.5) * alpha / (root - x);
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T alpha) {
    const Vec<T> root = length<T>(v, alpha), share = v / root;
    const Vec<T> below = T(0.5) * alpha / root / (root - v);
    return dy * (v > T(0) ? T(0.5) * (T(1) + (abs<T>(v) < kInfinity<T> ? share : broadcast<T>(T(1)))) : below);
  }
};

// f(x) = 0 for x <= -1, (x + 1)² / 4 up to 1, then x; f' = min(√y, 1).
struct SparsePlus {
  static constexpr ActivationInfo info{.name = "sparse_plus"};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    const Vec<T> inner = clamp<T>(x + T(1), T(0), T(2));
    return x > T(1) ? x : T(0.25) * inner * inner;
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    return dy * minimum(broadcast<T>(T(1)), sqrt(v));
  }
};

// f(x) = min(max((x + 1) / 2, 0), 1).
struct SparseSigmoid {
  static constexpr ActivationInfo info{.name = "sparse_sigmoid"};
  template <class T>
  static Vec<T> forward(Vec<T> x, T) {
    return clamp<T>(T(0.5) * (x + T(1)), T(0), T(1));
  }
  template <class T>
  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {
    const Vec<T> above_zero = v > T(0) ? T(0.5) * dy : Vec<T>{};
    return unless_nan<T>(v, v < T(1) ? above_zero : Vec<T>{});
  }
};

// Vectors whose results are computed at a time. One chain of dependent operations after the other leaves a core idle,
// but the code is larger: it pays for the activations that are used most.
template <class Activation, class T>
constexpr int kTogether = 1;
template <class Activation>
  requires(Activation::together > 1)
constexpr int kTogether<Activation, float> = Activation::together;

// Nanoseconds an element, from which the number of threads is chosen.
constexpr double kElementNanoseconds = 0.25;

// Calls body(first row, rows, first column, columns) for parts of a matrix. If the rows are contiguous (`packed`), the
// matrix is treated as one long row.
template <class T, class Body>
[[gnu::always_inline]] inline void for_each_part(std::ptrdiff_t rows, std::ptrdiff_t cols, bool packed, Body&& body) {
  parallel_ranges(packed ? rows * cols : rows, packed ? 4 * kLanes<T> : 1,
                  packed ? kElementNanoseconds : kElementNanoseconds * static_cast<double>(cols),
                  [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
                    const std::ptrdiff_t count = end - begin;
                    body(packed ? 0 : begin, packed ? 1 : count, packed ? begin : 0, packed ? count : cols);
                  });
}

template <class T>
[[gnu::always_inline]] inline Matrix<T> part_of(const Matrix<T>& m, std::ptrdiff_t row, std::ptrdiff_t rows,
                                                std::ptrdiff_t column, std::ptrdiff_t cols) {
  return {m.data + row * m.stride + column, rows, cols, m.stride};
}

// A number that the compiler knows.
template <int N>
struct Count {
  static constexpr int value = N;
};

// Calls body(first, vectors) for `n` numbers, whole vectors: kTogether at a time, then one by one.
template <class Activation, class T, class Body>
[[gnu::always_inline]] inline void for_each_group_of_vectors(std::ptrdiff_t n, Body&& body) {
  constexpr int together = kTogether<Activation, T>;
  constexpr std::ptrdiff_t lanes = kLanes<T>;
  std::ptrdiff_t first = 0;
  if constexpr (together > 1)
    for (; first + together * lanes <= n; first += together * lanes) body(first, Count<together>{});
  for (; first < n; first += lanes) body(first, Count<1>{});
}

// Both run on one thread. They are not inlined, so that each activation's code exists once; for the same reason the
// last numbers of a row go through the same loop, in a vector of their own.
template <class Activation, class T>
[[gnu::noinline]] void activate(Matrix<const T> x, Matrix<T> y, T alpha) {
  constexpr std::ptrdiff_t lanes = kLanes<T>;
  const std::ptrdiff_t rest = x.cols % lanes, end = x.cols - rest;
  T last[lanes];
  for (std::ptrdiff_t i = 0; i < x.rows; ++i, x.data += x.stride, y.data += y.stride) {
    const T* from = x.data;
    T* to = y.data;
    for (std::ptrdiff_t whole = end;;) {
      for_each_group_of_vectors<Activation, T>(whole, [&](std::ptrdiff_t j, auto vectors) {
        Vec<T> results[vectors.value];
#pragma GCC unroll 4
        for (int v = 0; v < vectors.value; ++v)
          results[v] = Activation::template forward<T>(load(from + j + v * lanes), alpha);
#pragma GCC unroll 4
        for (int v = 0; v < vectors.value; ++v) store(to + j + v * lanes, results[v]);
      });
      if (rest == 0) break;
      if (to == last) {
        store_partial(y.data + end, load(last), rest);
        break;
      }
      store(last, Vec<T>(load_partial(x.data + end, rest, T(0))));
      from = to = last;
      whole = lanes;
    }
  }
}
template <class Activation, class T>
[[gnu::noinline]] void propagate(Matrix<const T> v, Matrix<const T> dy, Matrix<T> dx, T alpha) {
  constexpr std::ptrdiff_t lanes = kLanes<T>;
  const std::ptrdiff_t rest = v.cols % lanes, end = v.cols - rest;
  T last[lanes], last_gradient[lanes];
  for (std::ptrdiff_t i = 0; i < v.rows; ++i, v.data += v.stride, dy.data += dy.stride, dx.data += dx.stride) {
    const T *value = v.data, *gradient = dy.data;
    T* to = dx.data;
    for (std::ptrdiff_t whole = end;;) {
      for_each_group_of_vectors<Activation, T>(whole, [&](std::ptrdiff_t j, auto vectors) {
        Vec<T> results[vectors.value];
#pragma GCC unroll 4
        for (int u = 0; u < vectors.value; ++u)
          results[u] =
              Activation::template backward<T>(load(value + j + u * lanes), load(gradient + j + u * lanes), alpha);
#pragma GCC unroll 4
        for (int u = 0; u < vectors.value; ++u) store(to + j + u * lanes, results[u]);
      });
      if (rest == 0) break;
      if (to == last_gradient) {
        store_partial(dx.data + end, load(last_gradient), rest);
        break;
      }
      store(last, Vec<T>(load_partial(v.data + end, rest, T(0))));
      store(last_gradient, Vec<T>(load_partial(dy.data + end, rest, T(0))));
      value = last;
      gradient = to = last_gradient;
      whole = lanes;
    }
  }
}

// The division among threads exists once for all activations.
template <class T>
[[gnu::noinline]] void forward_in_parts(const Matrix<const T>& x, const Matrix<T>& y, T alpha,
                                        void (*activate_part)(Matrix<const T>, Matrix<T>, T)) {
  for_each_part<T>(x.rows, x.cols, x.stride == x.cols && y.stride == x.cols,
                   [&](auto... part) { activate_part(part_of(x, part...), part_of(y, part...), alpha); });
}
template <class T>
[[gnu::noinline]] void backward_in_parts(const Matrix<const T>& v, const Matrix<const T>& dy, const Matrix<T>& dx,
                                         T alpha,
                                         void (*propagate_part)(Matrix<const T>, Matrix<const T>, Matrix<T>, T)) {
  const bool packed = v.stride == v.cols && dy.stride == v.cols && dx.stride == v.cols;
  for_each_part<T>(v.rows, v.cols, packed, [&](auto... part) {
    propagate_part(part_of(v, part...), part_of(dy, part...), part_of(dx, part...), alpha);
  });
}

template <class Activation, class T>
void activation_forward(Matrix<const T> x, Matrix<T> y, T alpha) {
  forward_in_parts<T>(x, y, alpha, activate<Activation, T>);
}

template <class Activation, class T>
void activation_backward(Matrix<const T> v, Matrix<const T> dy, Matrix<T> dx, T alpha) {
  backward_in_parts<T>(v, dy, dx, alpha, propagate<Activation, T>);
}

}  // namespace lamina::LAMINA_ISA
