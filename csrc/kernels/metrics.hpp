// The values of rows that metrics average, and the sums that metrics need.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/labels.hpp"
#include "kernels/parallel.hpp"
#include "kernels/softmax.hpp"
#include "kernels/updates.hpp"

namespace lamina::LAMINA_ISA {

// Column of the largest element of a row, the first of equals; the first NaN if there is one, as NumPy's argmax.
template <class T>
[[gnu::always_inline]] inline std::ptrdiff_t largest_column(const T* x, std::ptrdiff_t n) {
  std::ptrdiff_t best = 0;
  for (std::ptrdiff_t j = 0; j < n; ++j) {
    if (x[j] != x[j]) return j;
    if (x[j] > x[best]) best = j;
  }
  return best;
}

// 1 if fewer than k scores of the row are above the score of column `label`, else 0; 0 also if that score is NaN.
template <class T>
[[gnu::always_inline]] inline T among_best(const T* scores, std::ptrdiff_t n, std::ptrdiff_t label, std::ptrdiff_t k) {
  if (static_cast<std::size_t>(label) >= static_cast<std::size_t>(n) || scores[label] != scores[label]) return T(0);
  std::ptrdiff_t above = 0;
  for (std::ptrdiff_t j = 0; j < n; ++j) above += scores[j] > scores[label];
  return above < k ? T(1) : T(0);
}

// Below: one struct for each metric of rows, listed in kernels/table.hpp.

// 1 if row i of the predictions is largest in column labels[i], else 0; of several largest the first counts.
struct SparseMatches {
  static constexpr MetricInfo info{.name = "sparse_matches", .takes_labels = true, .of_order = true};
  template <class T>
  static void evaluate(const MetricArguments<T>& a) {
    for_each_row(a.predictions.rows, a.predictions.cols, [&](std::ptrdiff_t i) {
      const T* p = a.predictions.data + i * a.predictions.stride;
      a.values[i] = largest_column(p, a.predictions.cols) == label_at(a.labels, i) ? T(1) : T(0);
    });
  }
};

// 1 if rows i of predictions and targets are largest in the same column, else 0.
struct CategoricalMatches {
  static constexpr MetricInfo info{.name = "categorical_matches", .of_order = true};
  template <class T>
  static void evaluate(const MetricArguments<T>& a) {
    for_each_row(a.predictions.rows, a.predictions.cols, [&](std::ptrdiff_t i) {
      const T *p = a.predictions.data + i * a.predictions.stride, *t = a.targets.data + i * a.targets.stride;
      const bool same = largest_column(p, a.predictions.cols) == largest_column(t, a.targets.cols);
      a.values[i] = same ? T(1) : T(0);
    });
  }
};

// The share of columns for which hit(prediction, target) is true.
template <class T, class Hit>
[[gnu::always_inline]] inline void share_of_columns(const MetricArguments<T>& a, Hit&& hit) {
  for_each_row(a.predictions.rows, a.predictions.cols, [&](std::ptrdiff_t i) {
    const T *p = a.predictions.data + i * a.predictions.stride, *t = a.targets.data + i * a.targets.stride;
    std::ptrdiff_t hits = 0;
    for (std::ptrdiff_t j = 0; j < a.predictions.cols; ++j) hits += hit(p[j], t[j]);
    a.values[i] = static_cast<T>(hits) / static_cast<T>(a.predictions.cols);
  });
}

// The share of columns where (prediction > threshold) equals the target.
struct BinaryMatches {
  static constexpr MetricInfo info{.name = "binary_matches", .parameter = "threshold"};
  template <class T>
  static void evaluate(const MetricArguments<T>& a) {
    const T threshold = static_cast<T>(a.parameter);
    share_of_columns(a, [&](T p, T t) { return (p > threshold ? T(1) : T(0)) == t; });
  }
};

// The share of columns where predictions and targets are equal.
struct EqualMatches {
  static constexpr MetricInfo info{.name = "equal_matches"};
  template <class T>
  static void evaluate(const MetricArguments<T>& a) {
    share_of_columns(a, [](T p, T t) { return p == t; });
  }
};

// 1 if the prediction in column labels[i] is among the k largest of row i, else 0.
struct SparseTopMatches {
  static constexpr MetricInfo info{
      .name = "sparse_top_matches", .takes_labels = true, .of_order = true, .parameter = "k"};
  template <class T>
  static void evaluate(const MetricArguments<T>& a) {
    const auto k = static_cast<std::ptrdiff_t>(a.parameter);
    for_each_row(a.predictions.rows, a.predictions.cols, [&](std::ptrdiff_t i) {
      const T* p = a.predictions.data + i * a.predictions.stride;
      a.values[i] = among_best(p, a.predictions.cols, label_at(a.labels, i), k);
    });
  }
};

// The same, for the column in which the targets are largest.
struct CategoricalTopMatches {
  static constexpr MetricInfo info{.name = "categorical_top_matches", .of_order = true, .parameter = "k"};
  template <class T>
  static void evaluate(const MetricArguments<T>& a) {
    const auto k = static_cast<std::ptrdiff_t>(a.parameter);
    for_each_row(a.predictions.rows, a.predictions.cols, [&](std::ptrdiff_t i) {
      const T *p = a.predictions.data + i * a.predictions.stride, *t = a.targets.data + i * a.targets.stride;
      a.values[i] = among_best(p, a.predictions.cols, largest_column(t, a.targets.cols), k);
    });
  }
};

// For each score, counts the thresholds (ascending) that are below it, and adds the row's weight to
// positive[j * (count + 1) + that number] if the target is not 0, else to negative[…], with j the column.
template <class T>
void count_by_threshold(const ThresholdCounts<T>& a) {
  for (std::ptrdiff_t i = 0; i < a.scores.rows; ++i) {
    const T *s = a.scores.data + i * a.scores.stride, *t = a.targets.data + i * a.targets.stride;
    const double weight = a.sample_weight == nullptr ? 1.0 : static_cast<double>(a.sample_weight[i]);
    for (std::ptrdiff_t j = 0; j < a.scores.cols; ++j) {
      std::ptrdiff_t low = 0, high = a.count;
      while (low < high) {
        const std::ptrdiff_t middle = (low + high) / 2;
        if (s[j] > a.thresholds[middle])
          low = middle + 1;
        else
          high = middle;
      }
      (t[j] != T(0) ? a.positive : a.negative)[j * (a.count + 1) + low] += weight;
    }
  }
}

// out[j] = Σ_i w_i (a_ij - centre_j) (b_ij - centre_j), in float64 in the order of the rows. Null weights stand for 1,
// a null centre for 0.
template <class T>
void column_products(Matrix<const T> a, Matrix<const T> b, const T* weights, const double* centre, double* out) {
  for (std::ptrdiff_t j = 0; j < a.cols; ++j) out[j] = 0;
  for (std::ptrdiff_t i = 0; i < a.rows; ++i) {
    const double weight = weights == nullptr ? 1.0 : static_cast<double>(weights[i]);
    for (std::ptrdiff_t j = 0; j < a.cols; ++j) {
      const double from = centre == nullptr ? 0 : centre[j];
      out[j] += weight * (static_cast<double>(a.data[i * a.stride + j]) - from) *
                (static_cast<double>(b.data[i * b.stride + j]) - from);
    }
  }
}

template <class T>
double sum(const T* values, const T* weights, std::ptrdiff_t size) {
  return sum_as_tree(size, [&](std::ptrdiff_t i) {
    return static_cast<double>(values[i]) * (weights == nullptr ? 1.0 : static_cast<double>(weights[i]));
  });
}

}  // namespace lamina::LAMINA_ISA
