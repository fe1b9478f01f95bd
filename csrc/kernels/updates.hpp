// What happens to gradients and parameters beside the optimizer's own step. Everything is elementwise but the sums and
// norms, whose order depends on the shape alone. One thread; the caller divides.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/parallel.hpp"
#include "simd/math.hpp"
#include "simd/vector.hpp"

namespace lamina::LAMINA_ISA {

// Eight running sums, element i in sum i mod 8, added as a tree. `number(i)` is a float64.
template <class Number>
[[gnu::always_inline]] inline double sum_as_tree(std::ptrdiff_t size, Number&& number) {
  double partial[8] = {};
  for (std::ptrdiff_t i = 0; i < size; i += 8)
    for (std::ptrdiff_t k = 0; k < smaller(8, size - i); ++k) partial[k] += number(i + k);
  return ((partial[0] + partial[1]) + (partial[2] + partial[3])) +
         ((partial[4] + partial[5]) + (partial[6] + partial[7]));
}

// Σ (l1 |w| + l2 w²), in float64.
template <class T>
double penalty(const T* w, double l1, double l2, std::ptrdiff_t size) {
  return sum_as_tree(size, [&](std::ptrdiff_t i) {
    const double value = static_cast<double>(w[i]);
    return l1 * (value < 0 ? -value : value) + l2 * value * value;
  });
}

// gradient += l1 sign(w) + 2 l2 w.
template <class T>
void add_penalty_gradient(const T* w, T* gradient, T l1, T l2, std::ptrdiff_t size) {
  const Vec<T> first = broadcast<T>(l1), second = broadcast<T>(T(2) * l2), zero{};
  for_each_vector<T>(size, [&](std::ptrdiff_t i, std::ptrdiff_t count) {
    const Vec<T> value = load_lanes(w + i, count, T(0));
    const Vec<T> sign = value > zero ? first : (value < zero ? -first : zero);
    const Vec<T> g = load_lanes(static_cast<const T*>(gradient) + i, count, T(0));
    store_lanes(gradient + i, fma(second, value, Vec<T>(g + sign)), count);
  });
}

// gradient = factor gradient, kept within [-limit, limit]. NaN stays.
template <class T>
void scale_and_clip(T* gradient, T factor, T limit, std::ptrdiff_t size) {
  const Vec<T> most = broadcast<T>(limit), least = broadcast<T>(-limit), times = broadcast<T>(factor);
  for_each_vector<T>(size, [&](std::ptrdiff_t i, std::ptrdiff_t count) {
    const Vec<T> g = load_lanes(static_cast<const T*>(gradient) + i, count, T(0)) * times;
    store_lanes(gradient + i, maximum(least, Vec<T>(minimum(most, g))), count);
  });
}

// mean = momentum mean + (1 - momentum) w.
template <class T>
void running_average(const T* w, T* mean, T momentum, std::ptrdiff_t size) {
  const Vec<T> keep = broadcast<T>(momentum), take = broadcast<T>(T(1) - momentum);
  for_each_vector<T>(size, [&](std::ptrdiff_t i, std::ptrdiff_t count) {
    const Vec<T> kept = load_lanes(static_cast<const T*>(mean) + i, count, T(0)) * keep;
    store_lanes(mean + i, fma(load_lanes(w + i, count, T(0)), take, kept), count);
  });
}

// Keras's norm constraints: a vector w of norm n becomes w d / (n + 1e-7), d = rate clip(n, least, most) + (1 - rate)
// n.
template <class T>
[[gnu::always_inline]] inline Vec<T> norm_factor(const NormBounds<T>& b, Vec<T> squares) {
  const Vec<T> norm = sqrt(squares), epsilon = broadcast<T>(T(1e-7));
  const Vec<T> clipped = maximum(broadcast<T>(b.least), Vec<T>(minimum(broadcast<T>(b.most), norm)));
  const Vec<T> wanted = fma(broadcast<T>(b.rate), clipped, Vec<T>(norm * broadcast<T>(T(1) - b.rate)));
  return wanted / (norm + epsilon);
}

// w = max(w, 0) for panels begin … end - 1. NaN stays.
template <class T>
void bound_below_by_zero(Panels<T> w, std::ptrdiff_t begin, std::ptrdiff_t end) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::ptrdiff_t column = begin * width; column < smaller(w.cols, end * width); column += kLanes<T>) {
    const std::ptrdiff_t count = smaller(kLanes<T>, w.cols - column);
    T* at = w.data + column / width * w.panel_stride + column % width;
    for (std::ptrdiff_t i = 0; i < w.rows; ++i, at += w.row_stride)
      store_lanes(at, maximum(Vec<T>{}, Vec<T>(load_lanes(static_cast<const T*>(at), count, T(0)))), count);
  }
}

// Along the columns of panels begin … end - 1: one chain down each.
template <class T>
void bound_column_norms(Panels<T> w, std::ptrdiff_t begin, std::ptrdiff_t end, NormBounds<T> bounds) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::ptrdiff_t column = begin * width; column < smaller(w.cols, end * width); column += kLanes<T>) {
    const std::ptrdiff_t count = smaller(kLanes<T>, w.cols - column);
    T* at = w.data + column / width * w.panel_stride + column % width;
    Vec<T> squares{};
    for (std::ptrdiff_t i = 0; i < w.rows; ++i) {
      const Vec<T> value = load_lanes(static_cast<const T*>(at) + i * w.row_stride, count, T(0));
      squares = fma(value, value, squares);
    }
    const Vec<T> factor = norm_factor<T>(bounds, squares);
    for (std::ptrdiff_t i = 0; i < w.rows; ++i) {
      T* to = at + i * w.row_stride;
      store_lanes(to, load_lanes(static_cast<const T*>(to), count, T(0)) * factor, count);
    }
  }
}

// Along rows begin … end - 1.
template <class T>
void bound_row_norms(Panels<T> w, std::ptrdiff_t begin, std::ptrdiff_t end, NormBounds<T> bounds) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::ptrdiff_t i = begin; i < end; ++i) {
    const auto at = [&](std::ptrdiff_t column) {
      return w.data + column / width * w.panel_stride + i * w.row_stride + column % width;
    };
    Vec<T> squares{};
    for (std::ptrdiff_t column = 0; column < w.cols; column += kLanes<T>) {
      const Vec<T> value = load_lanes(static_cast<const T*>(at(column)), smaller(kLanes<T>, w.cols - column), T(0));
      squares = fma(value, value, squares);
    }
    const Vec<T> factor = norm_factor<T>(bounds, broadcast<T>(sum_lanes<T>(squares)));
    for (std::ptrdiff_t column = 0; column < w.cols; column += kLanes<T>) {
      const std::ptrdiff_t count = smaller(kLanes<T>, w.cols - column);
      store_lanes(at(column), load_lanes(static_cast<const T*>(at(column)), count, T(0)) * factor, count);
    }
  }
}

}  // namespace lamina::LAMINA_ISA
