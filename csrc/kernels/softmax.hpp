// Softmax and log-softmax along the last axis, shifted by the row maximum so that no exponential
// overflows. Rows are independent; y may be x. A row with NaN or +inf becomes NaN, as in NumPy.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/parallel.hpp"
#include "simd/math.hpp"

namespace lamina::LAMINA_ISA {

constexpr double kSoftmaxNanoseconds = 0.6;  // an element

template <class T>
[[gnu::always_inline]] inline T row_maximum(const T* x, std::ptrdiff_t n) {
  Vec<T> top = broadcast<T>(-kInfinity<T>);
  for_each_vector<T>(
      n, [&](std::ptrdiff_t j, std::ptrdiff_t count) { top = maximum(top, load_lanes(x + j, count, -kInfinity<T>)); });
  return maximum_lanes<T>(top);
}

// y = exp(x - shift) and the sum of all of them. Lanes beyond the row contribute exp(-inf) = 0.
template <class T>
[[gnu::always_inline]] inline T exponentials(const T* x, T shift, T* y, std::ptrdiff_t n) {
  Vec<T> sum{};
  for_each_vector<T>(n, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
    const Vec<T> e = exp<T>(load_lanes(x + j, count, -kInfinity<T>) - shift);
    sum += e;
    store_lanes(y + j, e, count);
  });
  return sum_lanes<T>(sum);
}

template <class T>
[[gnu::always_inline]] inline T log_of(T value) {
  return log<T>(broadcast<T>(value))[0];
}

// log Σ exp(x - top) of a row with maximum `top`. It is returned alone: added to a large top it would lose its digits.
template <class T>
[[gnu::always_inline]] inline T log_of_rest(const T* x, T top, std::ptrdiff_t n) {
  Vec<T> sum{};
  for_each_vector<T>(
      n, [&](std::ptrdiff_t j, std::ptrdiff_t count) { sum += exp<T>(load_lanes(x + j, count, -kInfinity<T>) - top); });
  return log_of(sum_lanes<T>(sum));
}

template <class T>
[[gnu::always_inline]] inline void scale_row(T* x, T factor, std::ptrdiff_t n) {
  for_each_vector<T>(n, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
    store_lanes(x + j, Vec<T>(load_lanes(x + j, count, T(0)) * factor), count);
  });
}

template <class Body>
[[gnu::always_inline]] inline void for_each_row(std::ptrdiff_t rows, std::ptrdiff_t cols, Body&& body) {
  if (cols == 0) return;
  parallel_ranges(rows, 1, kSoftmaxNanoseconds * static_cast<double>(cols + 8),
                  [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
                    for (std::ptrdiff_t i = begin; i < end; ++i) body(i);
                  });
}

// Σ a b over a row; a null b stands for 1.
template <class T>
[[gnu::always_inline]] inline T row_dot(const T* a, const T* b, std::ptrdiff_t n) {
  Vec<T> sum{};
  for_each_vector<T>(n, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
    const Vec<T> left = load_lanes(a + j, count, T(0));
    sum = b == nullptr ? sum + left : fma(left, load_lanes(b + j, count, T(0)), sum);
  });
  return sum_lanes<T>(sum);
}

// y_j = exp(x_j) / Σ_k exp(x_k); backward dx_j = y_j (dy_j - Σ_k dy_k y_k).
struct Softmax {
  static constexpr ActivationInfo info{.name = "softmax", .rowwise = true};
  template <class T>
  static void forward(Matrix<const T> x, Matrix<T> y, T) {
    for_each_row(x.rows, x.cols, [&](std::ptrdiff_t i) {
      const T* from = x.data + i * x.stride;
      T* to = y.data + i * y.stride;
      scale_row(to, T(1) / exponentials(from, row_maximum(from, x.cols), to, x.cols), x.cols);
    });
  }
  template <class T>
  static void backward(Matrix<const T> y, Matrix<const T> dy, Matrix<T> dx, T) {
    for_each_row(y.rows, y.cols, [&](std::ptrdiff_t i) {
      const T *p = y.data + i * y.stride, *g = dy.data + i * dy.stride;
      T* to = dx.data + i * dx.stride;
      const T mean = row_dot(g, p, y.cols);
      for_each_vector<T>(y.cols, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        const Vec<T> centred = load_lanes(g + j, count, T(0)) - mean;
        store_lanes(to + j, Vec<T>(load_lanes(p + j, count, T(0)) * centred), count);
      });
    });
  }
};

// y_j = x_j - log Σ_k exp(x_k); backward dx_j = dy_j - exp(y_j) Σ_k dy_k.
struct LogSoftmax {
  static constexpr ActivationInfo info{.name = "log_softmax", .rowwise = true};
  template <class T>
  static void forward(Matrix<const T> x, Matrix<T> y, T) {
    for_each_row(x.rows, x.cols, [&](std::ptrdiff_t i) {
      const T* from = x.data + i * x.stride;
      T* to = y.data + i * y.stride;
      const T top = row_maximum(from, x.cols);
      const T rest = log_of_rest(from, top, x.cols);
      for_each_vector<T>(x.cols, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        store_lanes(to + j, Vec<T>(load_lanes(from + j, count, T(0)) - top - rest), count);
      });
    });
  }
  template <class T>
  static void backward(Matrix<const T> y, Matrix<const T> dy, Matrix<T> dx, T) {
    for_each_row(y.rows, y.cols, [&](std::ptrdiff_t i) {
      const T *p = y.data + i * y.stride, *g = dy.data + i * dy.stride;
      T* to = dx.data + i * dx.stride;
      const T total = row_dot<T>(g, nullptr, y.cols);
      for_each_vector<T>(y.cols, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        const Vec<T> e = exp<T>(load_lanes(p + j, count, T(0)));
        store_lanes(to + j, Vec<T>(load_lanes(g + j, count, T(0)) - e * total), count);
      });
    });
  }
};

}  // namespace lamina::LAMINA_ISA
