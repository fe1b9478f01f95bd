// Pooling: the mean or the largest values of the lines of each row of the batch, column by column. Each runs on one
// thread, on the given rows and panels. A sum of lines is four chains, of every fourth line each, added as a tree.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/normalization.hpp"

namespace lamina::LAMINA_ISA {

// A vector of one panel's columns, from `column` of the panel on, of one row of y.
struct PooledVector {
  std::ptrdiff_t row, panel, column, count;
};

// Calls body(vector) for some rows: a row's lines are then read while in a cache.
template <class T, class Body>
[[gnu::always_inline]] inline void for_each_pooled(const LinePool<T>& a, Body&& body) {
  for (std::ptrdiff_t row = a.rows.begin; row < a.rows.end; ++row)
    for (std::ptrdiff_t panel = a.panels.begin; panel < a.panels.end; ++panel) {
      const std::ptrdiff_t cols = smaller(kPanelWidth<T>, a.x.cols - panel * kPanelWidth<T>);
      for (std::ptrdiff_t column = 0; column < cols; column += kLanes<T>)
        body(PooledVector{row, panel, column, smaller(kLanes<T>, cols - column)});
    }
}

// Where such a vector begins in line `line` of a matrix.
template <class M>
[[gnu::always_inline]] inline auto* pooled_at(const M& m, const PooledVector& v, std::ptrdiff_t line) {
  return m.data + v.panel * m.panel_stride + line * m.row_stride + v.column;
}

// The number of lines of a row that are not left out.
template <class T>
inline T kept_lines(const LinePool<T>& a, std::ptrdiff_t row) {
  if (a.keys == nullptr) return static_cast<T>(a.lines);
  std::ptrdiff_t kept = 0;
  for (std::ptrdiff_t line = 0; line < a.lines; ++line) kept += a.keys[row * a.lines + line] != 0;
  return static_cast<T>(kept);
}

template <class T>
Vec<T> mean_of_lines(const LinePool<T>& a, const PooledVector& v) {
  const T* from = pooled_at(a.x, v, v.row * a.lines);
  const std::int32_t* keys = a.keys == nullptr ? nullptr : a.keys + v.row * a.lines;
  Vec<T> sum[4] = {};
  const auto add = [&](std::ptrdiff_t i, int chain) {
    if (keys == nullptr || keys[i] != 0) sum[chain] += load_lanes(from + i * a.x.row_stride, v.count, T(0));
  };
  std::ptrdiff_t i = 0;
  for (; i + 4 <= a.lines; i += 4)
#pragma GCC unroll 4
    for (int chain = 0; chain < 4; ++chain) add(i + chain, chain);
  for (int chain = 0; i < a.lines; ++i, ++chain) add(i, chain);
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) / kept_lines(a, v.row);
}

// A NaN among the values is the largest.
template <class T>
Vec<T> largest_of_lines(const LinePool<T>& a, const PooledVector& v) {
  const T* from = pooled_at(a.x, v, v.row * a.lines);
  Vec<T> value = load_lanes(from, v.count, T(0));
  for (std::ptrdiff_t i = 1; i < a.lines; ++i) {
    const Vec<T> x = load_lanes(from + i * a.x.row_stride, v.count, T(0));
    value = x > value || x != x ? x : value;
  }
  return value;
}

template <class T>
void pool_lines(const LinePool<T>& a) {
  for_each_pooled<T>(a, [&](const PooledVector& v) {
    store_lanes(pooled_at(a.y, v, v.row), a.kind == PoolKind::mean ? mean_of_lines(a, v) : largest_of_lines(a, v),
                v.count);
  });
}

// The gradient of the largest value goes to all lines that have it, in equal parts.
template <class T>
void pool_lines_backward(const LinePool<T>& a, Panels<const T> dy, Panels<T> dx) {
  const bool mean = a.kind == PoolKind::mean;
  for_each_pooled<T>(a, [&](const PooledVector& v) {
    const std::ptrdiff_t first = v.row * a.lines;
    const T* from = pooled_at(a.x, v, first);
    const Vec<T> largest = load_lanes(static_cast<const T*>(pooled_at(a.y, v, v.row)), v.count, T(0));
    const auto has_largest = [&](std::ptrdiff_t i) {
      return load_lanes(from + i * a.x.row_stride, v.count, T(0)) == largest;
    };
    Vec<T> shares{};
    for (std::ptrdiff_t i = 0; !mean && i < a.lines; ++i) shares += has_largest(i) ? broadcast<T>(1) : Vec<T>{};
    if (mean) shares = broadcast<T>(kept_lines(a, v.row));
    const Vec<T> share = load_lanes(pooled_at(dy, v, v.row), v.count, T(0)) / shares;
    T* to = pooled_at(dx, v, first);
    for (std::ptrdiff_t i = 0; i < a.lines; ++i) {
      Vec<T> slope{};
      if (!mean)
        slope = has_largest(i) ? share : Vec<T>{};
      else if (a.keys == nullptr || a.keys[first + i] != 0)
        slope = share;
      store_lanes(to + i * dx.row_stride, slope, v.count);
    }
  });
}

}  // namespace lamina::LAMINA_ISA
