// Changes to gradients and parameters other than the optimizer's step: penalties, clipping, averages, constraints.
// Everything is elementwise except sums and norms, whose order depends on the shape alone. Everything runs on one
// thread; the caller divides the work.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/parallel.hpp"
#include "simd/math.hpp"
#include "simd/vector.hpp"

namespace lamina::LAMINA_ISA {

// Adds number(0) … number(size - 1), each a float64: number(i) goes into running sum i mod 8, and the eight running
// sums are added as a tree.
template <class Number>
[[gnu::always_inline]] inline double sum_as_tree(std::ptrdiff_t size, Number&& number) {
  double partial[8] = {};
  for (std::ptrdiff_t i = 0; i < size; i += 8)
    for (std::ptrdiff_t k = 0; k < smaller(8, size - i); ++k) partial[k] += number(i + k);
  return ((partial[0] + partial[1]) + (partial[2] + partial[3])) +
         ((partial[4] + partial[5]) + (partial[6] + partial[7]));
}

// Σ (l1 |w| + l2 w²), in float64. A term with factor 0 is 0, even for an infinite w.
template <class T>
double penalty(const T* w, double l1, double l2, std::ptrdiff_t size) {
  return sum_as_tree(size, [&](std::ptrdiff_t i) {
    const double value = static_cast<double>(w[i]), size_of_value = value < 0 ? -value : value;
    return (l1 == 0 ? 0 : l1 * size_of_value) + (l2 == 0 ? 0 : l2 * value * value);
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

// gradient = factor gradient, clamped to [-limit, limit]. NaN stays NaN.
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
void running_average(const T* w, T* mean, double momentum, std::ptrdiff_t size) {
  const Vec<T> keep = broadcast<T>(static_cast<T>(momentum)), take = broadcast<T>(static_cast<T>(1 - momentum));
  for_each_vector<T>(size, [&](std::ptrdiff_t i, std::ptrdiff_t count) {
    const Vec<T> kept = load_lanes(static_cast<const T*>(mean) + i, count, T(0)) * keep;
    store_lanes(mean + i, fma(load_lanes(w + i, count, T(0)), take, kept), count);
  });
}

// Keras's norm constraints: a vector w of norm n becomes w d / (n + 1e-7), with
// d = rate clip(n, least, most) + (1 - rate) n. Returns the factor d / (n + 1e-7).
template <class T>
[[gnu::always_inline]] inline T norm_factor(const NormBounds<T>& b, double norm) {
  const double most = static_cast<double>(b.most), least = static_cast<double>(b.least);
  const double clipped = norm > most ? most : (norm < least ? least : norm), rate = static_cast<double>(b.rate);
  const double wanted = rate == 1 ? clipped : rate * clipped + (1 - rate) * norm;
  return static_cast<T>(wanted / (norm + 1e-7));
}

// Euclidean norms, in float64, of `count` vectors side by side: at(i)[j] is element i of vector j. Each norm is one
// chain. A vector is divided by its largest element if the squares overflow or vanish in float64.
template <class T, class At>
void norms_of(std::ptrdiff_t size, std::ptrdiff_t count, At&& at, double* norms) {
  constexpr double huge = 1e290, tiny = 1e-290;
  for (std::ptrdiff_t j = 0; j < count; ++j) norms[j] = 0;
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const T* w = at(i);
    for (std::ptrdiff_t j = 0; j < count; ++j) norms[j] += static_cast<double>(w[j]) * static_cast<double>(w[j]);
  }
  for (std::ptrdiff_t j = 0; j < count; ++j) {
    double unit = 1, square = norms[j];
    if (!(square < huge) || (square < tiny && square > 0)) {
      double largest = 0;
      for (std::ptrdiff_t i = 0; i < size; ++i) {
        const double value = static_cast<double>(at(i)[j]), magnitude = value < 0 ? -value : value;
        largest = magnitude > largest || magnitude != magnitude ? magnitude : largest;
      }
      if (largest < kInfinity<double>) {
        unit = largest;
        square = 0;
        for (std::ptrdiff_t i = 0; i < size; ++i) {
          const double value = static_cast<double>(at(i)[j]) / unit;
          square += value * value;
        }
      }
    }
    norms[j] = unit * __builtin_sqrt(square);
  }
}

// w = max(w, 0) in some panels. NaN stays NaN.
template <class T>
void bound_below_by_zero(Panels<T> w, Range panels) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::ptrdiff_t column = panels.begin * width; column < smaller(w.cols, panels.end * width);
       column += kLanes<T>) {
    const std::ptrdiff_t count = smaller(kLanes<T>, w.cols - column);
    T* at = w.data + column / width * w.panel_stride + column % width;
    for (std::ptrdiff_t i = 0; i < w.rows; ++i, at += w.row_stride)
      store_lanes(at, maximum(Vec<T>{}, Vec<T>(load_lanes(static_cast<const T*>(at), count, T(0)))), count);
  }
}

// Bounds the norms of the columns of some panels.
template <class T>
[[gnu::cold]] void bound_column_norms(Panels<T> w, Range panels, NormBounds<T> bounds) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel) {
    const std::ptrdiff_t count = smaller(width, w.cols - panel * width);
    const auto at = [&](std::ptrdiff_t i) { return w.data + panel * w.panel_stride + i * w.row_stride; };
    double norms[width];
    T factors[width];
    norms_of<T>(w.rows, count, at, norms);
    for (std::ptrdiff_t j = 0; j < count; ++j) factors[j] = norm_factor<T>(bounds, norms[j]);
    for (std::ptrdiff_t i = 0; i < w.rows; ++i)
      for (std::ptrdiff_t j = 0; j < count; ++j) at(i)[j] *= factors[j];
  }
}

// Bounds the norms of some rows.
template <class T>
void bound_row_norms(Panels<T> w, Range rows, NormBounds<T> bounds) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>;
  for (std::ptrdiff_t i = rows.begin; i < rows.end; ++i) {
    const auto at = [&](std::ptrdiff_t column) {
      return w.data + column / width * w.panel_stride + i * w.row_stride + column % width;
    };
    double norm;
    norms_of<T>(w.cols, 1, at, &norm);
    const T factor = norm_factor<T>(bounds, norm);
    for (std::ptrdiff_t column = 0; column < w.cols; ++column) *at(column) *= factor;
  }
}

}  // namespace lamina::LAMINA_ISA
