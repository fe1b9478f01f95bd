// Row values that metrics average, and the sum that averages them.
#pragma once

#include "core/kernel_table.hpp"
#include "kernels/labels.hpp"
#include "kernels/parallel.hpp"
#include "kernels/softmax.hpp"
#include "kernels/updates.hpp"

namespace lamina::LAMINA_ISA {

// Column of the largest element of a row, the first of equals; the first NaN where there is one, as NumPy's argmax.
template <class T>
[[gnu::always_inline]] inline std::ptrdiff_t largest_column(const T* x, std::ptrdiff_t n) {
  std::ptrdiff_t best = 0;
  for (std::ptrdiff_t j = 0; j < n; ++j) {
    if (x[j] != x[j]) return j;
    if (x[j] > x[best]) best = j;
  }
  return best;
}

template <class T>
void sparse_matches(Matrix<const T> scores, Labels labels, T* match) {
  for_each_row(scores.rows, scores.cols, [&](std::ptrdiff_t i) {
    match[i] = largest_column(scores.data + i * scores.stride, scores.cols) == label_at(labels, i) ? T(1) : T(0);
  });
}

template <class T>
void categorical_matches(Matrix<const T> scores, Matrix<const T> targets, T* match) {
  for_each_row(scores.rows, scores.cols, [&](std::ptrdiff_t i) {
    const std::ptrdiff_t predicted = largest_column(scores.data + i * scores.stride, scores.cols);
    match[i] = predicted == largest_column(targets.data + i * targets.stride, targets.cols) ? T(1) : T(0);
  });
}

template <class T>
void binary_matches(Matrix<const T> scores, Matrix<const T> targets, T threshold, T* match) {
  for_each_row(scores.rows, scores.cols, [&](std::ptrdiff_t i) {
    const T *s = scores.data + i * scores.stride, *t = targets.data + i * targets.stride;
    std::ptrdiff_t hits = 0;
    for (std::ptrdiff_t j = 0; j < scores.cols; ++j) hits += (s[j] > threshold ? T(1) : T(0)) == t[j];
    match[i] = static_cast<T>(hits) / static_cast<T>(scores.cols);
  });
}

template <class T>
void equal_matches(Matrix<const T> scores, Matrix<const T> targets, T* match) {
  for_each_row(scores.rows, scores.cols, [&](std::ptrdiff_t i) {
    const T *s = scores.data + i * scores.stride, *t = targets.data + i * targets.stride;
    std::ptrdiff_t hits = 0;
    for (std::ptrdiff_t j = 0; j < scores.cols; ++j) hits += s[j] == t[j];
    match[i] = static_cast<T>(hits) / static_cast<T>(scores.cols);
  });
}

// 1 where fewer than k scores of the row are above that of column `label`. No NaN is among the best.
template <class T>
[[gnu::always_inline]] inline T among_best(const T* scores, std::ptrdiff_t n, std::ptrdiff_t label, std::ptrdiff_t k) {
  if (static_cast<std::size_t>(label) >= static_cast<std::size_t>(n) || scores[label] != scores[label]) return T(0);
  std::ptrdiff_t above = 0;
  for (std::ptrdiff_t j = 0; j < n; ++j) above += scores[j] > scores[label];
  return above < k ? T(1) : T(0);
}

template <class T>
void sparse_top_matches(Matrix<const T> scores, Labels labels, std::ptrdiff_t k, T* match) {
  for_each_row(scores.rows, scores.cols, [&](std::ptrdiff_t i) {
    match[i] = among_best(scores.data + i * scores.stride, scores.cols, label_at(labels, i), k);
  });
}

template <class T>
void categorical_top_matches(Matrix<const T> scores, Matrix<const T> targets, std::ptrdiff_t k, T* match) {
  for_each_row(scores.rows, scores.cols, [&](std::ptrdiff_t i) {
    const std::ptrdiff_t label = largest_column(targets.data + i * targets.stride, targets.cols);
    match[i] = among_best(scores.data + i * scores.stride, scores.cols, label, k);
  });
}

// Of each column, and of how many ascending thresholds its score is above: the weights of positive and of negative
// targets are added to positive[j * (count + 1) + thresholds] and to negative[…].
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

// out[j] = Σ_i w_i (a_ij - centre_j) (b_ij - centre_j), in float64 in the order of the rows; without centres those are
// 0.
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
