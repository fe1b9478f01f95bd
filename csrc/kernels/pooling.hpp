// Pooling: the mean or the largest values of the lines of each row of the batch, column by column. Each runs on one
// thread, on the given rows and panels. A sum of lines is four chains, of every fourth line each, added as a tree.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/normalization.hpp"

namespace lamina::LAMINA_ISA {

// Calls body(panel, row, offset, count) for the vectors of some rows: a row's lines are then read while in a cache.
template <class T, class Body>
[[gnu::always_inline]] inline void for_each_pooled(const LinePool<T>& a, Body&& body) {
  for (std::ptrdiff_t row = a.rows.begin; row < a.rows.end; ++row)
    for (std::ptrdiff_t panel = a.panels.begin; panel < a.panels.end; ++panel)
      for_each_column_vector<T>(
          a.x.cols, panel, [&](std::ptrdiff_t j, std::ptrdiff_t count, std::ptrdiff_t) { body(panel, row, j, count); });
}

// The number of lines of a row that are not left out.
template <class T>
inline T kept_lines(const LinePool<T>& a, std::ptrdiff_t row) {
  if (a.keys == nullptr) return static_cast<T>(a.lines);
  std::ptrdiff_t kept = 0;
  for (std::ptrdiff_t line = 0; line < a.lines; ++line) kept += a.keys[row * a.lines + line] != 0;
  return static_cast<T>(kept);
}

// A NaN among the values is the largest.
template <class T>
void pool_lines(const LinePool<T>& a) {
  for_each_pooled<T>(a, [&](std::ptrdiff_t panel, std::ptrdiff_t row, std::ptrdiff_t j, std::ptrdiff_t count) {
    const T* from = a.x.data + panel * a.x.panel_stride + row * a.lines * a.x.row_stride + j;
    const auto line = [&](std::ptrdiff_t i) -> Vec<T> { return load_lanes(from + i * a.x.row_stride, count, T(0)); };
    Vec<T> value;
    if (a.kind == PoolKind::mean) {
      const std::int32_t* keys = a.keys == nullptr ? nullptr : a.keys + row * a.lines;
      Vec<T> sum[4] = {};
      const auto add = [&](std::ptrdiff_t i, int chain) {
        if (keys == nullptr || keys[i] != 0) sum[chain] += line(i);
      };
      std::ptrdiff_t i = 0;
      for (; i + 4 <= a.lines; i += 4)
#pragma GCC unroll 4
        for (int chain = 0; chain < 4; ++chain) add(i + chain, chain);
      for (int chain = 0; i < a.lines; ++i, ++chain) add(i, chain);
      value = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / kept_lines(a, row);
    } else {
      value = line(0);
      for (std::ptrdiff_t i = 1; i < a.lines; ++i) {
        const Vec<T> x = line(i);
        value = x > value || x != x ? x : value;
      }
    }
    store_lanes(a.y.data + panel * a.y.panel_stride + row * a.y.row_stride + j, value, count);
  });
}

// The gradient of the largest value goes to all lines that have it, in equal parts.
template <class T>
void pool_lines_backward(const LinePool<T>& a, Panels<const T> dy, Panels<T> dx) {
  for_each_pooled<T>(a, [&](std::ptrdiff_t panel, std::ptrdiff_t row, std::ptrdiff_t j, std::ptrdiff_t count) {
    const std::ptrdiff_t first = row * a.lines;
    const Vec<T> slope = load_lanes(dy.data + panel * dy.panel_stride + row * dy.row_stride + j, count, T(0));
    T* to = dx.data + panel * dx.panel_stride + first * dx.row_stride + j;
    if (a.kind == PoolKind::mean) {
      const Vec<T> share = slope / kept_lines(a, row);
      for (std::ptrdiff_t i = 0; i < a.lines; ++i)
        store_lanes(to + i * dx.row_stride, a.keys == nullptr || a.keys[first + i] != 0 ? share : Vec<T>{}, count);
      return;
    }
    const T* from = a.x.data + panel * a.x.panel_stride + first * a.x.row_stride + j;
    const Vec<T> largest = load_lanes(a.y.data + panel * a.y.panel_stride + row * a.y.row_stride + j, count, T(0));
    const auto line = [&](std::ptrdiff_t i) -> Vec<T> { return load_lanes(from + i * a.x.row_stride, count, T(0)); };
    Vec<T> equal{};
    for (std::ptrdiff_t i = 0; i < a.lines; ++i) equal += line(i) == largest ? broadcast<T>(1) : Vec<T>{};
    const Vec<T> share = slope / equal;
    for (std::ptrdiff_t i = 0; i < a.lines; ++i)
      store_lanes(to + i * dx.row_stride, line(i) == largest ? share : Vec<T>{}, count);
  });
}

}  // namespace lamina::LAMINA_ISA
