// Kernels of normalization layers and similar ones on panels: scaling of columns, moments of columns and rows, and the
// sums of their gradients. Each runs on one thread, on the given rows and panels. Moments of columns are summed in
// segments of kMomentRows rows, each one chain, added in order; other sums over rows are one chain.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/activations.hpp"
#include "kernels/labels.hpp"
#include "kernels/parallel.hpp"
#include "kernels/softmax.hpp"
#include "simd/vector.hpp"

namespace lamina::LAMINA_ISA {

constexpr std::ptrdiff_t kMomentRows = 128;

// Calls body(offset, count, column) for the vectors of a panel's columns.
template <class T, class Body>
[[gnu::always_inline]] inline void for_each_column_vector(std::ptrdiff_t cols, std::ptrdiff_t panel, Body&& body) {
  const std::ptrdiff_t first = panel * kPanelWidth<T>;
  for_each_vector<T>(smaller(kPanelWidth<T>, cols - first),
                     [&](std::ptrdiff_t j, std::ptrdiff_t count) { body(j, count, first + j); });
}

template <class T>
[[gnu::always_inline]] inline Vec<T> column_values(const T* values, std::ptrdiff_t column, std::ptrdiff_t count,
                                                   T otherwise) {
  return values == nullptr ? broadcast<T>(otherwise) : Vec<T>(load_lanes(values + column, count, T(0)));
}

// y = (x - centre_j) scale_j + shift_j. A null centre, scale or shift stands for 0, 1 or 0.
template <class T>
void scale_columns(const ColumnScale<T>& a) {
  for (std::ptrdiff_t panel = a.panels.begin; panel < a.panels.end; ++panel) {
    for_each_column_vector<T>(a.x.cols, panel, [&](std::ptrdiff_t j, std::ptrdiff_t count, std::ptrdiff_t column) {
      const Vec<T> scale = column_values(a.scale, column - a.first, count, T(1)),
                   shift = column_values(a.shift, column - a.first, count, T(0)),
                   centre = column_values(a.centre, column - a.first, count, T(0));
      const T* from = a.x.data + panel * a.x.panel_stride + j;
      T* to = a.y.data + panel * a.y.panel_stride + j;
      for (std::ptrdiff_t i = a.rows.begin; i < a.rows.end; ++i) {
        const Vec<T> apart = load_lanes(from + i * a.x.row_stride, count, T(0)) - centre;
        store_lanes(to + i * a.y.row_stride, fma(apart, scale, shift), count);
      }
    });
  }
}

// Σ term(i) over rows begin … end - 1, in segments.
template <class T, class Term>
[[gnu::always_inline]] inline Vec<T> sum_of_rows(std::ptrdiff_t begin, std::ptrdiff_t end, Term&& term) {
  Vec<T> total{};
  for (std::ptrdiff_t first = begin; first < end; first += kMomentRows) {
    Vec<T> part{};
    for (std::ptrdiff_t i = first; i < smaller(end, first + kMomentRows); ++i) part += term(i);
    total += part;
  }
  return total;
}

// Mean and variance (the mean square deviation) of each column of a panel, over all rows. The mean is mean + rest: the
// rounding error of `mean` alone matters if a column is far from 0.
template <class T>
void column_moments(Panels<const T> x, std::ptrdiff_t panel, T* mean, T* rest, T* variance) {
  for_each_column_vector<T>(x.cols, panel, [&](std::ptrdiff_t j, std::ptrdiff_t count, std::ptrdiff_t) {
    const T* from = x.data + panel * x.panel_stride + j;
    const auto at = [&](std::ptrdiff_t i) -> Vec<T> { return load_lanes(from + i * x.row_stride, count, T(0)); };
    const T rows = static_cast<T>(x.rows);
    const Vec<T> centre = sum_of_rows<T>(0, x.rows, at) / rows;
    const Vec<T> apart = sum_of_rows<T>(0, x.rows, [&](std::ptrdiff_t i) { return Vec<T>(at(i) - centre); }) / rows;
    const Vec<T> square = sum_of_rows<T>(0, x.rows, [&](std::ptrdiff_t i) {
      const Vec<T> d = (at(i) - centre) - apart;
      return Vec<T>(d * d);
    });
    store_lanes(mean + j, centre, count);
    store_lanes(rest + j, apart, count);
    store_lanes(variance + j, Vec<T>(square / rows), count);
  });
}

// For a normalization x̂ = (x - centre) rate along columns or rows: sums[0][j] = Σ dy x̂, sums[1][j] = Σ dy over some
// rows, for one panel.
template <class T>
void normalization_sums(const NormalizationSums<T>& a, T* sums) {
  for_each_column_vector<T>(a.x.cols, a.panel, [&](std::ptrdiff_t j, std::ptrdiff_t count, std::ptrdiff_t) {
    const T* x = a.x.data + a.panel * a.x.panel_stride + j;
    const T* dy = a.dy.data + a.panel * a.dy.panel_stride + j;
    const Vec<T> centre = a.by_rows ? Vec<T>{} : Vec<T>(load_lanes(a.centre + j, count, T(0)));
    const Vec<T> rate = a.by_rows ? Vec<T>{} : Vec<T>(load_lanes(a.rate + j, count, T(0)));
    Vec<T> along{}, total{};
    for (std::ptrdiff_t i = a.rows.begin; i < a.rows.end; ++i) {
      const Vec<T> slope = load_lanes(dy + i * a.dy.row_stride, count, T(0));
      const Vec<T> value = load_lanes(x + i * a.x.row_stride, count, T(0));
      const Vec<T> unit = a.by_rows ? Vec<T>((value - a.centre[i]) * a.rate[i]) : Vec<T>((value - centre) * rate);
      along = fma(slope, unit, along);
      total += slope;
    }
    store_lanes(sums + j, along, count);
    store_lanes(sums + kPanelWidth<T> + j, total, count);
  });
}

// dx = γ_j rate_j (dy - sums[1]/n - x̂ sums[0]/n) for one panel whose moments are those of all n rows.
// x̂ = (x - centre) rate - rest, and sums[0] = Σ dy x̂; `rest` is that of column_moments times rate.
template <class T>
void column_normalization_backward(const NormalizationSums<T>& a, const T* gamma, const T* rest, const T* sums,
                                   Panels<T> dx) {
  const T rows = static_cast<T>(a.x.rows);
  for_each_column_vector<T>(a.x.cols, a.panel, [&](std::ptrdiff_t j, std::ptrdiff_t count, std::ptrdiff_t column) {
    const T* x = a.x.data + a.panel * a.x.panel_stride + j;
    const T* dy = a.dy.data + a.panel * a.dy.panel_stride + j;
    T* to = dx.data + a.panel * dx.panel_stride + j;
    const Vec<T> centre = load_lanes(a.centre + j, count, T(0)), rate = load_lanes(a.rate + j, count, T(0));
    const Vec<T> factor = rate * column_values(gamma, column, count, T(1));
    const Vec<T> along = load_lanes(sums + j, count, T(0)) / rows;
    const Vec<T> mean = load_lanes(sums + kPanelWidth<T> + j, count, T(0)) / rows;
    const Vec<T> shift = load_lanes(rest + j, count, T(0));
    for (std::ptrdiff_t i = 0; i < a.x.rows; ++i) {
      const Vec<T> unit = (load_lanes(x + i * a.x.row_stride, count, T(0)) - centre) * rate - shift;
      const Vec<T> slope = load_lanes(dy + i * a.dy.row_stride, count, T(0));
      store_lanes(to + i * dx.row_stride, Vec<T>(factor * ((slope - mean) - unit * along)), count);
    }
  });
}

// Normalizes each row by its own moments: y = γ_j (x - centre) rate + β_j with rate = 1 / √(mean square of x - centre
// + ε); centre is the mean if `centered`, else 0.
template <class T>
void row_normalization(const RowNormalization<T>& a) {
  const std::ptrdiff_t c = a.x.cols;
  const T columns = static_cast<T>(c);
  for (std::ptrdiff_t i = a.rows.begin; i < a.rows.end; ++i) {
    const T* x = a.x.data + i * a.x.stride;
    T centre = a.centered ? row_dot<T>(x, nullptr, c) / columns : T(0);
    if (a.centered) {  // corrects rounding errors by the mean of x - centre
      Vec<T> apart{};
      for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
        const Vec<T> d = load_lanes(x + j, count, T(0)) - centre;
        apart += count == kLanes<T> ? d : first_lanes_of<T>(d, count);
      });
      centre += sum_lanes<T>(apart) / columns;
    }
    Vec<T> square{};
    for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
      const Vec<T> d = load_lanes(x + j, count, T(0)) - centre;
      const Vec<T> inside = count == kLanes<T> ? d : first_lanes_of<T>(d, count);
      square = fma(inside, inside, square);
    });
    const T rate = T(1) / sqrt(broadcast<T>(sum_lanes<T>(square) / columns + a.epsilon))[0];
    T* y = a.y.data + i * a.y.stride;
    for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
      const Vec<T> unit = (load_lanes(static_cast<const T*>(x) + j, count, T(0)) - centre) * rate;
      const Vec<T> scaled = unit * column_values(a.gamma, j, count, T(1)) + column_values(a.beta, j, count, T(0));
      store_lanes(y + j, scaled, count);
    });
    if (a.centre == nullptr) continue;
    a.centre[i] = centre;
    a.rate[i] = rate;
  }
}

// With g = γ dy: dx = rate (g - mean(g) - x̂ mean(g x̂)); the term mean(g) only if `centered`.
template <class T>
void row_normalization_backward(const RowNormalization<T>& a, Matrix<const T> dy, Matrix<T> dx) {
  const std::ptrdiff_t c = a.x.cols;
  const T columns = static_cast<T>(c);
  for (std::ptrdiff_t i = a.rows.begin; i < a.rows.end; ++i) {
    const T *x = a.x.data + i * a.x.stride, *slope = dy.data + i * dy.stride;
    const T centre = a.centre[i], rate = a.rate[i];
    const auto unit_at = [&](std::ptrdiff_t j, std::ptrdiff_t count) -> Vec<T> {
      return (load_lanes(x + j, count, T(0)) - centre) * rate;
    };
    const auto slope_at = [&](std::ptrdiff_t j, std::ptrdiff_t count) -> Vec<T> {
      return load_lanes(slope + j, count, T(0)) * column_values(a.gamma, j, count, T(1));
    };
    Vec<T> total{}, along{};
    for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
      const Vec<T> g = slope_at(j, count);
      total += g;
      along = fma(g, unit_at(j, count), along);
    });
    const T mean = a.centered ? sum_lanes<T>(total) / columns : T(0), share = sum_lanes<T>(along) / columns;
    for_each_vector<T>(c, [&](std::ptrdiff_t j, std::ptrdiff_t count) {
      const Vec<T> value = (slope_at(j, count) - mean - unit_at(j, count) * share) * rate;
      store_lanes(dx.data + i * dx.stride + j, value, count);
    });
  }
}

// y = x if x is positive, else α_j x, with α_j = scale[j]. If dy is not null, y becomes dx = dy or α_j dy.
template <class T>
void prelu(const ColumnScale<T>& a, const Panels<const T>* dy) {
  for (std::ptrdiff_t panel = a.panels.begin; panel < a.panels.end; ++panel) {
    for_each_column_vector<T>(a.x.cols, panel, [&](std::ptrdiff_t j, std::ptrdiff_t count, std::ptrdiff_t column) {
      const Vec<T> alpha = load_lanes(a.scale + column, count, T(0));
      for (std::ptrdiff_t i = a.rows.begin; i < a.rows.end; ++i) {
        const Vec<T> x = load_lanes(a.x.data + panel * a.x.panel_stride + i * a.x.row_stride + j, count, T(0));
        Vec<T> value = x;
        if (dy != nullptr)
          value = load_lanes(dy->data + panel * dy->panel_stride + i * dy->row_stride + j, count, T(0));
        store_lanes(a.y.data + panel * a.y.panel_stride + i * a.y.row_stride + j, x > T(0) ? value : value * alpha,
                    count);
      }
    });
  }
}

template <class T>
void clipped_relu(const ClippedRelu<T>& a) {
  const bool clips = a.most < kInfinity<T>;
  for (std::ptrdiff_t panel = a.panels.begin; panel < a.panels.end; ++panel) {
    for_each_column_vector<T>(a.x.cols, panel, [&](std::ptrdiff_t j, std::ptrdiff_t count, std::ptrdiff_t) {
      for (std::ptrdiff_t i = a.rows.begin; i < a.rows.end; ++i) {
        const Vec<T> x = load_lanes(a.x.data + panel * a.x.panel_stride + i * a.x.row_stride + j, count, T(0));
        Vec<T> above = x, below = (x - a.threshold) * a.slope;
        if (a.dy.data != nullptr) {
          const Vec<T> dy = load_lanes(a.dy.data + panel * a.dy.panel_stride + i * a.dy.row_stride + j, count, T(0));
          above = clips ? (x < a.most && x > T(0) ? dy : Vec<T>{}) : dy;
          below = dy * a.slope;
        } else if (clips) {
          above = clamp<T>(x, T(0), a.most);
        }
        store_lanes(a.y.data + panel * a.y.panel_stride + i * a.y.row_stride + j,
                    unless_nan<T>(x, x > a.threshold ? above : below), count);
      }
    });
  }
}

// sums[j] = Σ dy min(x, 0) over some rows, for one panel.
template <class T>
void prelu_sums(const NormalizationSums<T>& a, T* sums) {
  for_each_column_vector<T>(a.x.cols, a.panel, [&](std::ptrdiff_t j, std::ptrdiff_t count, std::ptrdiff_t) {
    Vec<T> total{};
    for (std::ptrdiff_t i = a.rows.begin; i < a.rows.end; ++i) {
      const Vec<T> x = load_lanes(a.x.data + a.panel * a.x.panel_stride + i * a.x.row_stride + j, count, T(0));
      const Vec<T> slope = load_lanes(a.dy.data + a.panel * a.dy.panel_stride + i * a.dy.row_stride + j, count, T(0));
      total = fma(slope, x > T(0) ? Vec<T>{} : x, total);
    }
    store_lanes(sums + j, total, count);
  });
}

}  // namespace lamina::LAMINA_ISA
