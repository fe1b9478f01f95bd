// The products of a first layer whose input is sparse, or row indices of an embedding table (one entry of value 1
// each). Everything runs on one thread; the caller divides rows and panels.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/panels.hpp"

namespace lamina::LAMINA_ISA {

// z[i] = Σ_e x[i][e] w[column e] + b, one chain in the order of the entries; (n, out).
template <class T, int V>
[[gnu::always_inline]] inline void sparse_row(const SparseProduct<T>& p, std::ptrdiff_t i, std::ptrdiff_t column,
                                              std::ptrdiff_t cols) {
  constexpr std::ptrdiff_t width = kPanelWidth<T>, lanes = kLanes<T>;
  const auto place = [&](int v, std::ptrdiff_t panel) {
    return (column + v * lanes) / width * panel + (column + v * lanes) % width;
  };
  Vec<T> sum[V];
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) sum[v] = Vec<T>{};
  for (std::ptrdiff_t e = p.x.starts[i]; e < p.x.starts[i + 1]; ++e) {
    const T* w = p.w.data + p.x.columns[e] * p.w.row_stride;
    const Vec<T> value = broadcast<T>(p.x.values[e]);
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[v] = fma(value, load(w + place(v, p.w.panel_stride)), sum[v]);
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    const std::ptrdiff_t count = smaller(lanes, cols - column - v * lanes);
    if (p.bias != nullptr) sum[v] += load(p.bias + place(v, p.bias_panel));
    if (p.clamp) sum[v] = maximum(broadcast<T>(p.floor), sum[v]);
    store_lanes(p.z.data + i * p.z.row_stride + place(v, p.z.panel_stride), sum[v], count);
  }
}

template <class T>
void sparse_product(const SparseProduct<T>& p) {
  constexpr std::ptrdiff_t together = 8 * kLanes<T>;
  const std::ptrdiff_t begin = p.panels.begin * kPanelWidth<T>, end = smaller(p.z.cols, p.panels.end * kPanelWidth<T>);
  for (std::ptrdiff_t i = p.rows.begin; i < p.rows.end; ++i) {
    std::ptrdiff_t column = begin;
    for (; column + together <= end; column += together) sparse_row<T, 8>(p, i, column, p.z.cols);
    for (; column < end; column += kLanes<T>) sparse_row<T, 1>(p, i, column, p.z.cols);
  }
}

// gradient[column e] += x[i][e] dz[i], in the order of rows and entries.
template <class T>
void sparse_gradient(SparseBatch<T> x, Panels<const T> dz, Panels<T> gradient, Range panels) {
  for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel) {
    T* to = gradient.data + panel * gradient.panel_stride;
    for (std::ptrdiff_t i = 0; i < dz.rows; ++i) {
      const T* from = dz.data + panel * dz.panel_stride + i * dz.row_stride;
      Vec<T> slope[kPanelVectors<T>];
#pragma GCC unroll 8
      for (std::ptrdiff_t v = 0; v < kPanelVectors<T>; ++v) {
        const std::ptrdiff_t count = dz.cols - panel * kPanelWidth<T> - v * kLanes<T>;
        slope[v] = load_lanes(from + v * kLanes<T>, smaller(kLanes<T>, larger(0, count)), T(0));
      }
      for (std::ptrdiff_t e = x.starts[i]; e < x.starts[i + 1]; ++e) {
        T* row = to + x.columns[e] * gradient.row_stride;
        const Vec<T> value = broadcast<T>(x.values[e]);
#pragma GCC unroll 8
        for (std::ptrdiff_t v = 0; v < kPanelVectors<T>; ++v)
          store(row + v * kLanes<T>, fma(value, slope[v], load(static_cast<const T*>(row) + v * kLanes<T>)));
      }
    }
  }
}

// w[k] += factor gradient[k] and gradient[k] = 0 for the columns k of all entries. A column that occurs again adds
// nothing, because its gradient is 0 by then.
template <class T>
void sparse_step(SparseBatch<T> x, Panels<T> gradient, Panels<T> w, T factor, Range panels) {
  const Vec<T> times = broadcast<T>(factor);
  for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel) {
    for (std::ptrdiff_t e = x.starts[0]; e < x.starts[x.rows]; ++e) {
      const std::ptrdiff_t k = x.columns[e];
      T* from = gradient.data + panel * gradient.panel_stride + k * gradient.row_stride;
      T* to = w.data + panel * w.panel_stride + k * w.row_stride;
#pragma GCC unroll 8
      for (std::ptrdiff_t v = 0; v < kPanelVectors<T>; ++v) {
        const std::ptrdiff_t at = v * kLanes<T>;
        store(to + at, fma(load(static_cast<const T*>(from) + at), times, load(static_cast<const T*>(to) + at)));
        store(from + at, Vec<T>{});
      }
    }
  }
}

}  // namespace lamina::LAMINA_ISA
