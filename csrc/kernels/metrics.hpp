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
double sum(const T* values, const T* weights, std::ptrdiff_t size) {
  return sum_as_tree(size, [&](std::ptrdiff_t i) {
    return static_cast<double>(values[i]) * (weights == nullptr ? 1.0 : static_cast<double>(weights[i]));
  });
}

}  // namespace lamina::LAMINA_ISA
